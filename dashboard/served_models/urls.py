"""The models: page, fragment, JSON, and the request for a probe."""

from django.urls import path

from . import views

urlpatterns = [
    path("models/", views.models, name="models"),
    path("models/live/", views.models_live, name="models-live"),
    path("models/probe/", views.probe, name="model-probe"),
    path("api/models/", views.models_json, name="api-models"),
]
