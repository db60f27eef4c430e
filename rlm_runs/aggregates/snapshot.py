"""An experiment at one moment, kept in the process until one of its rollouts changes its state.

Reading a hundred thousand rollouts takes a part of a second, asking whether one of them changed takes a few
milliseconds and no row: counts by status and the last end, from an index. So pages ask that, and read again only
where something did.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import Lock, RLock
from typing import Any, TypeVar, cast

import numpy as np
from django.db import connection
from django.db.models import Count, Max

from ..models import Arm, Experiment, Rollout
from .frame import Frame, example_values, load
from .measures import MEASURES, Measure
from .metadata import Key, metadata_keys

T = TypeVar("T")

_KEPT = 8
_KEPT_ROLLOUTS = 1_000_000
_KEPT_RESULTS = 300
_USUAL = (
    "reward",
    "main_prompt_tokens",
    "main_completion_tokens",
    "sub_prompt_tokens",
    "sub_completion_tokens",
    "main_tokens",
    "sub_tokens",
    "sub_calls",
    "turns",
    "seconds",
    "cost",
)
"""The measures of the experiment page and of most figures: read together, since a query of its own costs more."""


class Snapshot:
    """What pages read of one experiment. All of it is read when it is first asked for, and once."""

    def __init__(self, experiment: Experiment, *, version: str) -> None:
        self.experiment = experiment
        self.version = version
        self.arms: tuple[Arm, ...] = tuple(experiment.arms.order_by("position"))
        self._frame: Frame | None = None
        self._measures: dict[str, Measure] = {name: MEASURES[name] for name in _USUAL}
        self._remembered: dict[Hashable, Any] = {}
        self._lock = RLock()

    def __len__(self) -> int:
        return 0 if self._frame is None else len(self._frame)

    def frame(self, measures: Iterable[Measure] = ()) -> Frame:
        """All rollouts, with at least these measures and those that most pages need."""
        asked = {measure.name: measure for measure in measures}
        with self._lock:
            if self._frame is None or not asked.keys() <= self._frame.columns.keys():
                self._measures = {**self._measures, **asked}
                self._frame = load([arm.pk for arm in self.arms], measures=list(self._measures.values()))
            return self._frame

    def examples(self) -> list[int]:
        """The ids of its examples, ascending."""
        return self.remembered("examples", lambda: [int(found) for found in np.unique(self.frame()["example"])])

    def metadata_keys(self) -> tuple[Key, ...]:
        """The keys of its examples' metadata by which rollouts can be grouped."""
        return self.remembered("metadata keys", lambda: metadata_keys(self.examples()))

    def metadata(self, key: str) -> dict[int, Any]:
        """Example → its metadata under this key."""
        return self.remembered(("metadata", key), lambda: example_values(self.examples(), key))

    def metrics(self) -> tuple[str, ...]:
        """The names of the numbers that its environments' scoring gives beside the reward."""
        return self.remembered("metrics", lambda: _metrics([arm.pk for arm in self.arms]))

    def stop_reasons(self) -> tuple[str, ...]:
        """Those that its rollouts have, sorted."""
        return self.remembered("stop reasons", lambda: _stop_reasons(self.experiment))

    def remembered(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` made of this snapshot when it was first asked for under this key.

        Whoever asks while another makes it waits: readers of a running experiment come all at once.
        """
        with self._lock:
            if key not in self._remembered:
                made = make()
                if len(self._remembered) >= _KEPT_RESULTS:  # addresses are made up by whoever asks
                    self._remembered.clear()
                self._remembered[key] = made
            return cast("T", self._remembered[key])


_snapshots: OrderedDict[int, Snapshot] = OrderedDict()
_lock = Lock()


def snapshot(experiment: Experiment) -> Snapshot:
    """The experiment as it is now: from before where nothing changed. One query that reads an index."""
    version = _version(experiment)
    with _lock:
        found = _snapshots.get(experiment.pk)
        if found is None or found.version != version:
            found = _snapshots[experiment.pk] = Snapshot(experiment, version=version)
        _snapshots.move_to_end(experiment.pk)
        _forget_oldest()
    return found


def forget() -> None:
    """Reads everything again from now on: for whoever changed rows in a way that no running program does."""
    with _lock:
        _snapshots.clear()


def _forget_oldest() -> None:
    while len(_snapshots) > 1 and (
        len(_snapshots) > _KEPT or sum(len(each) for each in _snapshots.values()) > _KEPT_ROLLOUTS
    ):
        _snapshots.popitem(last=False)


def _version(experiment: Experiment) -> str:
    """Changes whenever a rollout begins, ends or goes away, and when files are imported again."""
    states = experiment.rollouts().values_list("status").order_by("status")
    counts = list(states.annotate(Count("id"), Max("finished_at")))
    known = repr((counts, experiment.cancelled_at, experiment.sources))
    return hashlib.sha256(known.encode()).hexdigest()[:16]


def _metrics(arms: Sequence[int]) -> tuple[str, ...]:
    """From the first completed rollouts of each arm: an environment gives all of them the same."""
    statement = """
        SELECT DISTINCT metric.key
        FROM unnest(%s::bigint[]) AS arm(id),
             LATERAL (SELECT metrics FROM rlm_runs_rollout r
                      WHERE r.arm_id = arm.id AND r.status = 'completed' LIMIT 20) AS found,
             LATERAL jsonb_each(found.metrics) AS metric
        WHERE jsonb_typeof(metric.value) = 'number' AND length(metric.key) <= 60
        ORDER BY 1 LIMIT 100
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(arms)])
        return tuple(key for (key,) in cursor.fetchall())


def _stop_reasons(experiment: Experiment) -> tuple[str, ...]:
    found = Rollout.objects.filter(experiment=experiment).exclude(stop_reason="")
    return tuple(sorted(set(found.order_by().values_list("stop_reason", flat=True).distinct())))
