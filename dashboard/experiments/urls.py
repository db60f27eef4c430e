"""The list of experiments, and one experiment."""

from django.urls import path

from . import views

urlpatterns = [
    path("experiments/", views.experiment_list, name="experiments"),
    path("experiments.csv", views.experiments_csv, name="experiments-csv"),
    path("experiments/<slug:slug>/", views.experiment, name="experiment"),
    path("experiments/<slug:slug>/live/", views.experiment_live, name="experiment-live"),
    path("experiments/<slug:slug>/cancel/", views.experiment_cancel, name="experiment-cancel"),
    path("experiments/<slug:slug>/pause/", views.experiment_pause, name="experiment-pause"),
    path("experiments/<slug:slug>/resume/", views.experiment_resume, name="experiment-resume"),
    path("api/experiments/", views.experiments_json, name="api-experiments"),
]
