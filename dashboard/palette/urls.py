"""The search of the command palette."""

from django.urls import path

from . import views

urlpatterns = [path("palette/", views.palette, name="palette")]
