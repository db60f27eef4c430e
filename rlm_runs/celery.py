"""The Celery app. Messages carry ids only; the rows are the truth."""

import os

from celery import Celery
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlm_runs.settings")

app = Celery("rlm_runs")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["rlm_runs"])
app.conf.beat_schedule = {
    # Messages of the sweep that nobody took in time are worthless: the next is on its way.
    "sweep": {
        "task": "rlm_runs.tasks.sweep",
        "schedule": settings.RLM_SWEEP_SECONDS,
        "options": {"expires": settings.RLM_SWEEP_SECONDS},
    }
}
app.conf.beat_schedule_filename = str(settings.VAR_DIR / "celerybeat-schedule")


@worker_ready.connect
def _sweep_at_start(**_: object) -> None:
    """A worker that starts picks up what a dead one left behind, without waiting for the first sweep."""
    app.send_task("rlm_runs.tasks.sweep")


@worker_shutting_down.connect
def _give_rollouts_back(**_: object) -> None:
    from .execution.leases import interrupt_all

    interrupt_all()


@worker_shutdown.connect
def _close_sandboxes(**_: object) -> None:
    from .execution.sandboxes import close

    close()
