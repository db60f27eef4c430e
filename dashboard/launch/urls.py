"""The launch form."""

from django.urls import path

from . import views

urlpatterns = [
    path("launch/", views.launch_form, name="launch"),
    path("launch/spec/", views.launch_spec, name="launch-spec"),
]
