"""Every URL of the site."""

from django.urls import include, path

urlpatterns = [path("", include("dashboard.urls"))]
handler400 = "dashboard.error_pages.not_understood"
handler404 = "dashboard.error_pages.not_found"
