"""The Django app that holds the store."""

from django.apps import AppConfig


class RlmRunsConfig(AppConfig):
    name = "rlm_runs"
    default_auto_field = "django.db.models.BigAutoField"
