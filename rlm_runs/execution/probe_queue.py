"""Probes requested on a page: rows form the queue, and any worker takes one at a time."""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import Error, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from ..engine.cancellation import CancellationToken
from ..engine.errors import Stopped
from ..engine.probe import Unreachable, find_window, probe
from ..models import ModelProbe
from ..models.texts import escape, storable
from .endpoints import ModelChoice, find_model
from .prices import listed_window
from .probe_client import probe_client

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_LOST_AFTER = timedelta(minutes=20)
"""Time after which an unfinished probe is run again."""


def request(choice: ModelChoice, *, user: User | None = None, with_window: bool = False) -> ModelProbe:
    """Requests a probe of a model. Returns the waiting one if there is one."""
    waiting = ModelProbe.objects.filter(model=choice.name, started_at=None, finished_at=None).first()
    return waiting or ModelProbe.objects.create(
        model=choice.name, endpoint=choice.endpoint.name, requested_by=user, with_window=with_window
    )


def run_until(done: threading.Event) -> None:
    """Runs probes one after the other until `done` is set, which also interrupts the current one."""
    control = CancellationToken()

    def stop() -> None:
        done.wait()
        control.stop("interrupted")

    threading.Thread(target=stop, name="probe-stop", daemon=True).start()
    while not done.wait(_LOOK_SECONDS):
        try:
            while not done.is_set() and (found := _claim()) is not None:
                run(found, control=control)
        except Error as error:
            logger.warning("probes wait for the database: %s", error)
        finally:
            connection.close()


def run(found: ModelProbe, *, control: CancellationToken) -> None:
    """Runs a claimed probe and stores its findings. An interrupted probe waits again."""
    choice = find_model(found.model)
    try:
        if choice is None:
            raise Unreachable("the model is no longer in the endpoints file")
        if choice.endpoint.missing:
            raise Unreachable(f"{choice.endpoint.missing} where workers run")
        window = choice.window or listed_window(choice, at=timezone.now())
        with probe_client(choice) as client:
            findings = probe(client, choice.name, window=window, control=control)
            found.findings = storable([asdict(finding) for finding in findings])
            if found.with_window:
                found.window = find_window(client, choice.name, guess=window or 8192, control=control)
    except Stopped:
        ModelProbe.objects.filter(pk=found.pk).update(started_at=None)
        return
    except Unreachable as problem:
        found.error = escape(str(problem))
    except Exception as error:
        logger.exception("the probe of %s failed", found.model)
        found.error = escape(f"{type(error).__name__}: {error}")
    found.finished_at = timezone.now()
    found.save(update_fields=["findings", "window", "error", "finished_at"])


@transaction.atomic
def _claim() -> ModelProbe | None:
    """Returns the oldest probe that no worker runs, or whose worker died."""
    left = Q(started_at=None) | Q(started_at__lt=timezone.now() - _LOST_AFTER)
    found = (
        ModelProbe.objects.select_for_update(skip_locked=True)
        .filter(left, finished_at=None)
        .order_by("pk")
        .first()
    )
    if found is not None:
        ModelProbe.objects.filter(pk=found.pk).update(started_at=Now())
    return found
