"""The worker processes: page, fragment and JSON."""

from django.urls import path

from . import views

urlpatterns = [
    path("workers/", views.workers, name="workers"),
    path("workers/live/", views.workers_live, name="workers-live"),
    path("workers/circuits/close/", views.circuit_close, name="circuit-close"),
    path("api/workers/", views.workers_json, name="api-workers"),
]
