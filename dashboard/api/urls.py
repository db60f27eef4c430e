"""JSON of one experiment and of one rollout."""

from django.urls import path

from . import views

urlpatterns = [
    path("api/experiments/<slug:slug>/", views.experiment, name="api-experiment"),
    path("api/rollouts/<int:pk>/", views.rollout, name="api-rollout"),
]
