"""Circuits in Postgres, shared by all workers. Each change is one short transaction under the row's lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from ...models import Arm, Circuit, Experiment, Rollout
from ...models.texts import escape
from ..arm_models import models_of
from ..circuit_settings import CircuitSettings
from ..experiment_log import WORKER, record_action
from .rules import Health

PROBE_SECONDS = 120.0
"""Seconds after which a probe without a result counts as lost."""
_CLAIM_SECONDS = 30.0
_LONGEST_ERROR = 2_000


@dataclass(frozen=True)
class CircuitView:
    """A circuit as a worker reads it. Times are in seconds before now."""

    is_open: bool
    open_for: float
    last_good: float | None
    probe_is_due: bool


def look(models: Sequence[str]) -> dict[str, CircuitView]:
    """Returns the known circuits of these models."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT model, opened_at IS NOT NULL, COALESCE(extract(epoch FROM clock_timestamp() - opened_at),
            0)::float8, extract(epoch FROM clock_timestamp() - last_good_at)::float8, COALESCE(probe_at <=
            clock_timestamp(), false) AND COALESCE(probing_until < clock_timestamp(), true) FROM rlm_runs_circuit
            WHERE model = ANY(%s)
            """,
            [list(models)],
        )
        return {model: CircuitView(*row) for model, *row in cursor.fetchall()}


def report(model: str, good: Sequence[bool], *, error: str, rules: CircuitSettings) -> None:
    """Reports how calls of a model ended, in their order. The circuit may open."""
    with transaction.atomic():
        found, _ = Circuit.objects.select_for_update().get_or_create(model=model)
        now = _now()
        health = _health(found)
        health.add(good, now=now.timestamp(), window=rules.window)
        _keep(found, health)
        if error:
            found.error = escape(error)[:_LONGEST_ERROR]
        opens = found.opened_at is None and rules.enabled and health.fails(rules, now=now.timestamp())
        if opens:
            found.opened_at, found.probes = now, 0
            found.probe_at = now + timedelta(seconds=rules.wait(0))
            _log(found, "circuit opened", actor=WORKER, details={"error": found.error[:300]})
        found.save()


def take_probe(model: str) -> bool:
    """Claims the one call that probes the model. Returns whether the caller may make it."""
    due = Circuit.objects.filter(model=model, opened_at__isnull=False, probe_at__lte=Now())
    free = due.filter(Q(probing_until=None) | Q(probing_until__lt=Now()))
    return free.update(probing_until=Now() + timedelta(seconds=PROBE_SECONDS)) == 1


def end_probe(model: str, *, good: bool | None, error: str, rules: CircuitSettings) -> None:
    """Ends a probe. Success closes the circuit, failure extends the wait, None changes neither."""
    with transaction.atomic():
        found = Circuit.objects.select_for_update().filter(model=model, opened_at__isnull=False).first()
        if found is None:
            return
        found.probing_until = None
        if good:
            _close(found, actor=WORKER)
        elif good is not None:
            found.probes += 1
            found.probe_at = _now() + timedelta(seconds=rules.wait(found.probes))
            found.error = escape(error)[:_LONGEST_ERROR]
        found.save()


def close(model: str, *, actor: str) -> bool:
    """Closes a circuit manually. Returns whether it was open."""
    with transaction.atomic():
        found = Circuit.objects.select_for_update().filter(model=model, opened_at__isnull=False).first()
        if found is None:
            return False
        _close(found, actor=actor)
        found.save()
    return True


def open_circuits() -> list[Circuit]:
    """Returns the open circuits, the oldest first."""
    return list(Circuit.objects.filter(opened_at__isnull=False).order_by("opened_at"))


def waiting_arms(experiment: Experiment, circuits: Iterable[Circuit]) -> dict[str, list[Arm]]:
    """Returns a map of models → the arms of an experiment that wait for them."""
    names = {circuit.model for circuit in circuits}
    found: dict[str, list[Arm]] = {}
    for arm in experiment.arms.all() if names else ():
        for name in names.intersection(models_of(arm)):
            found.setdefault(name, []).append(arm)
    return found


def _close(found: Circuit, *, actor: str) -> None:
    _log(found, "circuit closed", actor=actor, details={})
    found.opened_at = found.probe_at = found.probing_until = found.claimed_until = found.failing_since = None
    found.failures = found.probes = 0
    found.outcomes = []
    found.last_good_at = _now()


def _log(found: Circuit, action: str, *, actor: str, details: dict[str, str]) -> None:
    """Records an action in the log of every experiment whose arms wait for the model."""
    named = Q(model=found.model) | Q(sub_model=found.model) | Q(judge_model=found.model)
    arms = Arm.objects.filter(named, experiment__cancelled_at=None).select_related("experiment")
    waiting: dict[int, int] = {}
    for arm in arms:
        if found.model in models_of(arm):
            waiting[arm.experiment_id] = waiting.get(arm.experiment_id, 0) + 1
    unfinished = Rollout.objects.filter(experiment__in=waiting).unfinished()
    for experiment in sorted(set(unfinished.values_list("experiment_id", flat=True))):
        told = {"model": found.model, "arms": waiting[experiment], **details}
        record_action(experiment, action=action, actor=actor, details=told)


def _health(found: Circuit) -> Health:
    return Health(
        found.failures,
        found.failing_since.timestamp() if found.failing_since else None,
        found.last_good_at.timestamp() if found.last_good_at else None,
        [(second, good, bad) for second, good, bad in found.outcomes],
    )


def _keep(found: Circuit, health: Health) -> None:
    found.failures, found.outcomes = health.failures, [list(one) for one in health.outcomes]
    found.failing_since = _moment(health.failing_since)
    found.last_good_at = _moment(health.last_good_at)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _now() -> datetime:
    """Returns the database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now
