"""The launch form, its preview, and the drafts of a user."""

from django.urls import path

from . import drafts, views

urlpatterns = [
    path("launch/", views.launch_form, name="launch"),
    path("launch/spec/", views.launch_spec, name="launch-spec"),
    path("launch/preview/", views.launch_preview, name="launch-preview"),
    path("launch/file/", views.launch_file, name="launch-file"),
    path("launch/probe/", views.launch_probe, name="launch-probe"),
    path("launch/drafts/", drafts.save, name="launch-draft-save"),
    path("launch/drafts/<int:pk>/delete/", drafts.delete, name="launch-draft-delete"),
]
