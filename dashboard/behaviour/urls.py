"""The behaviour of an experiment's arms: a page, CSV and JSON."""

from django.urls import path

from . import views

urlpatterns = [
    path("experiments/<slug:slug>/behaviour/", views.behaviour_page, name="behaviour"),
    path("experiments/<slug:slug>/behaviour/data.csv", views.behaviour_csv, name="behaviour-csv"),
    path("api/experiments/<slug:slug>/behaviour/", views.behaviour_json, name="behaviour-json"),
]
