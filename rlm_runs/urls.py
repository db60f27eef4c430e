"""Every URL of the site."""

from django.urls import include, path

urlpatterns = [path("", include("dashboard.urls"))]
handler400 = "dashboard.views.problems.not_understood"
handler404 = "dashboard.views.problems.not_found"
