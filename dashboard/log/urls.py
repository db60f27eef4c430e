"""The log of an experiment, as a page and as JSON."""

from django.urls import path

from . import views

urlpatterns = [
    path("experiments/<slug:slug>/log/", views.log_page, name="experiment-log"),
    path("api/experiments/<slug:slug>/log/", views.log_json, name="api-experiment-log"),
]
