"""What the command palette finds."""

from django.urls import path

from . import views

urlpatterns = [path("palette/", views.palette, name="palette")]
