"""Lists of rollouts, their filter and their saved views."""

from django.urls import path

from . import bulk, preview, saved_views, views

urlpatterns = [
    path("experiments/<slug:slug>/rollouts/", views.rollout_list, name="experiment-rollouts"),
    path("experiments/<slug:slug>/rollouts.csv", views.rollouts_csv, name="experiment-rollouts-csv"),
    path("rollouts/", views.rollout_list, name="rollouts"),
    path("rollouts/filters/", views.filter_menus, name="rollout-filters"),
    path("rollouts/selected/", bulk.act_on_selected, name="rollouts-selected"),
    path("rollouts/<int:pk>/preview/", preview.preview, name="rollout-preview"),
    path("rollouts.csv", views.rollouts_csv, name="rollouts-csv"),
    path("views/save/", saved_views.save_view, name="view-save"),
    path("views/<int:pk>/delete/", saved_views.delete_view, name="view-delete"),
    path("api/filters/complete", saved_views.completions, name="filter-completions"),
    path("api/experiments/<slug:slug>/rollouts/", views.rollouts_json, name="api-experiment-rollouts"),
    path("api/rollouts/", views.rollouts_json, name="api-rollouts"),
]
