"""One figure of an experiment, as a page, CSV and JSON."""

from django.urls import path

from . import views

urlpatterns = [
    path("experiments/<slug:slug>/figures/<slug:name>/", views.figure, name="figure"),
    path("experiments/<slug:slug>/figures/<slug:name>/live/", views.figure_live, name="figure-live"),
    path("experiments/<slug:slug>/figures/<slug:name>/data.csv", views.figure_csv, name="figure-csv"),
    path("api/experiments/<slug:slug>/figures/<slug:name>/", views.figure_json, name="figure-json"),
]
