"""Control of an experiment: the list of actions, each action's confirmation, and the API."""

from django.urls import path

from . import views

urlpatterns = [
    path("experiments/<slug:slug>/control/", views.control_page, name="experiment-control"),
    path("experiments/<slug:slug>/control/<slug:name>/", views.action_page, name="experiment-action"),
    path("api/experiments/<slug:slug>/control/", views.control_api, name="api-experiment-control"),
]
