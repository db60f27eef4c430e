"""The figures of an experiment in small, and each as a page, CSV and JSON."""

from django.urls import path

from . import section, views

urlpatterns = [
    path("experiments/<slug:slug>/figures/", section.figures, name="figures"),
    path("experiments/<slug:slug>/figures-live/", section.figures_live, name="figures-live"),
    path("experiments/<slug:slug>/figures/<slug:name>/", views.figure, name="figure"),
    path("experiments/<slug:slug>/figures/<slug:name>/live/", views.figure_live, name="figure-live"),
    path("experiments/<slug:slug>/figures/<slug:name>/small/", section.figure_small, name="figure-small"),
    path("experiments/<slug:slug>/figures/<slug:name>/data.csv", views.figure_csv, name="figure-csv"),
    path("api/experiments/<slug:slug>/figures/<slug:name>/", views.figure_json, name="figure-json"),
]
