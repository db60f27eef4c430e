"""The Celery app. Messages carry ids only; the rows are the truth."""

import os

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from rlm_runs.observability.logs import configure_celery

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


@setup_logging.connect
def _keep_our_logging(loglevel: int | None = None, logfile: str | None = None, **_: object) -> None:
    """Keeps Celery from installing handlers of its own."""
    configure_celery(loglevel=loglevel, logfile=logfile)
