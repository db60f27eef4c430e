"""Forking a rollout, by page and by API."""

from django.urls import path

from . import api, views

urlpatterns = [
    path("rollouts/<int:pk>/fork/", views.fork, name="fork"),
    path("rollouts/<int:pk>/fork/continue/", views.go_on, name="fork-continue"),
    path("api/rollouts/<int:pk>/forks/", api.forks, name="api-rollout-forks"),
    path("api/rollouts/<int:pk>/forks/continue/", api.go_on, name="api-fork-continue"),
]
