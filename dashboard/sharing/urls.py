"""Links for readers without an account."""

from django.urls import path

from . import views

urlpatterns = [
    path("share/", views.share, name="share"),
    path("shared/", views.shared_links, name="shared-links"),
    path("shared/<int:pk>/revoke/", views.revoke, name="shared-link-revoke"),
]
