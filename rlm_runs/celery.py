"""The Celery app. A message says that there is work; the rows say which."""

import os
from functools import cached_property
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from rlm_runs.observability.logs import configure_celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlm_runs.settings")
# Django's system checks import every page, but a worker serves none.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")


class _App(Celery):
    @cached_property
    def Worker(self) -> type:  # the name is Celery's
        """The worker without gossip and mingle, because workers do not need each other.

        A broker restart can end a worker that gossips (kombu#582).
        """
        base: type = super().Worker

        class Worker(base):  # type: ignore[misc]
            def __init__(self, **options: Any) -> None:
                _limit_idle_transactions()
                super().__init__(**{**options, "without_gossip": True, "without_mingle": True})

        return Worker


_IDLE_TRANSACTION_MS = 15_000


def _limit_idle_transactions() -> None:
    """Lets Postgres end idle transactions of this worker.

    A machine that freezes keeps its connections. Without a limit, it also keeps the locks of its transactions,
    including the sweep's, and no other worker could take over its rollouts.
    """
    options = settings.DATABASES["default"]["OPTIONS"]
    options["options"] += f" -c idle_in_transaction_session_timeout={_IDLE_TRANSACTION_MS}"


app = _App("rlm_runs")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["rlm_runs.execution"])


@setup_logging.connect
def _keep_our_logging(loglevel: int | None = None, logfile: str | None = None, **_: object) -> None:
    """Keeps Celery from installing its own handlers."""
    configure_celery(loglevel=loglevel, logfile=logfile)
