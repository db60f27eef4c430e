"""The settings of an experiment and of its arms: the section and its JSON."""

from django.urls import path

from . import views

urlpatterns = [
    path("experiments/<slug:slug>/settings/", views.settings_page, name="experiment-settings"),
    path("api/experiments/<slug:slug>/settings/", views.settings_json, name="api-experiment-settings"),
]
