"""Arms of any experiments side by side, as a page, CSV and JSON."""

from django.urls import path

from . import views

urlpatterns = [
    path("compare/", views.compare, name="compare"),
    path("compare/prompts/", views.prompts, name="compare-prompts"),
    path("compare/matrix.csv", views.matrix_csv, name="compare-matrix-csv"),
    path("compare/measures.csv", views.measures_csv, name="compare-measures-csv"),
    path("api/compare/", views.compare_json, name="compare-json"),
]
