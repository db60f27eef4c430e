"""The Celery app. Messages carry ids only; the rows are the truth."""

import os

from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlm_runs.settings")

app = Celery("rlm_runs")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["rlm_runs.execution"])
app.conf.beat_schedule = {
    # Messages of the sweep that nobody took in time are worthless: the next is on its way.
    "sweep": {
        "task": "rlm_runs.tasks.sweep",
        "schedule": settings.RLM_SWEEP_SECONDS,
        "options": {"expires": settings.RLM_SWEEP_SECONDS},
    }
}
app.conf.beat_schedule_filename = str(settings.VAR_DIR / "celerybeat-schedule")
