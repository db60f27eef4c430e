"""The pages, one folder each. The order does not matter, because no two pages share a URL."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from . import scaffold_stylesheet

urlpatterns = [
    path("", include("dashboard.home.urls")),
    path("", include("dashboard.experiments.urls")),
    path("", include("dashboard.arms.urls")),
    path("", include("dashboard.arm_settings.urls")),
    path("", include("dashboard.launch.urls")),
    path("", include("dashboard.rollouts.urls")),
    path("", include("dashboard.replay.urls")),
    path("", include("dashboard.review.urls")),
    path("", include("dashboard.forks.urls")),
    path("", include("dashboard.compare.urls")),
    path("", include("dashboard.behaviour.urls")),
    path("", include("dashboard.figures.urls")),
    path("", include("dashboard.example_types.urls")),
    path("", include("dashboard.sharing.urls")),
    path("", include("dashboard.served_models.urls")),
    path("", include("dashboard.workers.urls")),
    path("", include("dashboard.control.urls")),
    path("", include("dashboard.log.urls")),
    path("", include("dashboard.api.urls")),
    path("", include("dashboard.palette.urls")),
    path("", include("dashboard.operations.urls")),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path(scaffold_stylesheet.PATH, scaffold_stylesheet.stylesheet, name="scaffold-stylesheet"),
]
