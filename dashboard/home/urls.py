"""Home, its fragment for updates, and the same as JSON."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("home/live/", views.home_live, name="home-live"),
    path("api/home/", views.home_json, name="api-home"),
]
