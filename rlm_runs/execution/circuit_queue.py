"""Circuits in the queue: arms whose model fails wait, and one rollout is claimed when a probe is due."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from ..models import Arm, Circuit, Rollout
from .arm_models import models_of

_IN_FLIGHT = timedelta(seconds=2)
"""Time in which rollouts in flight may probe a model before a rollout is claimed for it."""
_CLAIM = timedelta(seconds=30)
"""Time before another rollout is claimed for the same probe."""


@dataclass(frozen=True)
class Arms:
    """Waiting arms, with their experiments."""

    ids: frozenset[int]
    experiments: frozenset[int]


class _Experiment(Protocol):
    @property
    def id(self) -> int: ...


ExperimentT = TypeVar("ExperimentT", bound=_Experiment)


def waiting_arms(experiments: Sequence[int]) -> dict[str, Arms]:
    """Returns a map of models with an open circuit → the arms of these experiments that wait for them."""
    open_models = list(Circuit.objects.filter(opened_at__isnull=False).values_list("model", flat=True))
    if not open_models:
        return {}
    named = Q(model__in=open_models) | Q(sub_model__in=open_models) | Q(judge_model__in=open_models)
    arms = list(Arm.objects.filter(named, experiment__in=experiments))
    found = {}
    for model in open_models:
        its = [arm for arm in arms if model in models_of(arm)]
        found[model] = Arms(frozenset(arm.pk for arm in its), frozenset(arm.experiment_id for arm in its))
    return found


def arms_to_probe(waiting: Mapping[str, Arms]) -> Iterator[Arms]:
    """Yields the arms from which one rollout is claimed, because no rollout in flight probes their model."""
    for model, arms in waiting.items():
        due = Circuit.objects.filter(model=model, probe_at__lte=Now() - _IN_FLIGHT, probing_until=None)
        free = due.filter(Q(claimed_until=None) | Q(claimed_until__lt=Now()))
        if arms.ids and free.update(claimed_until=Now() + _CLAIM):
            yield arms


def with_other_work(experiments: Sequence[ExperimentT], *, waiting: Sequence[int]) -> list[ExperimentT]:
    """Returns the experiments that have queued rollouts in arms that do not wait."""
    if not waiting:
        return list(experiments)
    queued = Exists(Rollout.objects.filter(arm=OuterRef("pk"), status=Rollout.Status.QUEUED))
    arms = Arm.objects.filter(queued, experiment__in=[each.id for each in experiments]).exclude(pk__in=waiting)
    found = set(arms.values_list("experiment", flat=True))
    return [each for each in experiments if each.id in found]
