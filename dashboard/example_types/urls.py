"""Results by type of example: a page, CSV and JSON."""

from django.urls import path

from . import views

urlpatterns = [
    path("experiments/<slug:slug>/types/", views.types_page, name="example-types"),
    path("experiments/<slug:slug>/types/data.csv", views.types_csv, name="example-types-csv"),
    path("api/experiments/<slug:slug>/types/", views.types_json, name="example-types-json"),
]
