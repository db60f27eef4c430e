"""Checks of the broker and the workers."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from ..execution import worker_registry
from ..execution.code_version import code_version
from ..models import Rollout
from ..observability.readiness import broker_problem
from .findings import Finding, fail, ok, warn

START_WORKER = "Start one: `celery --app rlm_runs.celery worker --pool threads --without-gossip --without-mingle`."


def check_broker() -> Iterator[Finding]:
    """Yields whether messages reach the workers. They are hints: workers find queued rollouts without them."""
    kind = str(settings.CELERY_BROKER_URL).partition(":")[0]
    if problem := broker_problem():
        advice = "Start the broker, or correct CELERY_BROKER_URL. Rollouts start about a second later without it."
        yield warn("broker", f"{kind} does not answer: {problem}", advice=advice)
    else:
        yield ok("broker", kind)


def check_workers() -> Iterator[Finding]:
    """Yields whether workers are alive, and run the code of this checkout."""
    alive = list(worker_registry.alive())
    queued = Rollout.objects.filter(status=Rollout.Status.QUEUED, experiment__paused_at=None)
    if not alive:
        if queued.exists():
            yield fail("workers", "none is alive, and rollouts wait", advice=START_WORKER)
        else:
            yield warn("workers", "none is alive", advice=START_WORKER)
        return
    running = sum(worker.running for worker in alive)
    yield ok("workers", f"{len(alive)} alive, {running} rollouts running")
    ours = code_version()
    others = [worker.name for worker in alive if worker.versions.get("rlm_runs") != ours]
    if others:
        found = f"{len(others)} run other code than this checkout ({ours[:10]}): {', '.join(others[:5])}"
        yield warn("worker versions", found, advice="Restart them after an update: SIGTERM gives rollouts back.")
    else:
        yield ok("worker versions", f"all {ours[:10]}")
