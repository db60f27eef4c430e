"""The Django app that holds the store."""

from django.apps import AppConfig


class RlmRunsConfig(AppConfig):
    name = "rlm_runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Makes the Celery app the current one, so that any process can send messages."""
        from . import celery  # noqa: F401
