"""The arms of an experiment: the section and its live part."""

from django.urls import path

from . import views

urlpatterns = [
    path("experiments/<slug:slug>/arms/", views.arms_page, name="experiment-arms"),
    path("experiments/<slug:slug>/arms/live/", views.arms_live, name="experiment-arms-live"),
]
