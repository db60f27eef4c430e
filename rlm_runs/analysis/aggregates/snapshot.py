"""Snapshots: an experiment at one moment, kept in the process until one of its rollouts changes state.

Reading a hundred thousand rollouts takes a fraction of a second. Checking whether one changed takes a few
milliseconds and reads no row: counts by status and the last end come from an index. Pages make this check, and
read only the rollouts that ended since. Ended rollouts change only through retries and rescorings, which the
experiment counts; after one, all rollouts are read again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Lock, RLock
from typing import Any, TypeVar, cast

import numpy as np
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import connection
from django.db.models import Count, Max

from rlm_runs.models import Arm, Experiment

from .frame import Frame, example_values, load, refresh
from .measures import MEASURES, Measure
from .metadata_keys import Key, metadata_keys
from .tallies import Tally, tally

T = TypeVar("T")

_EXAMPLES, _METADATA_KEYS, _METADATA = "examples", "metadata keys", "metadata"
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
"""Measures of the experiment page and of most figures, read together because separate queries cost more."""


@dataclass(frozen=True)
class State:
    """The facts that change with the experiment. `total` counts the rollouts, `files` names the imported files,
    `revision` counts changes to ended rollouts.
    """

    version: str
    total: int
    files: str
    revision: int


class Snapshot:
    """The data that pages read of one experiment. Each part is read once, on first use.

    `before` is an earlier snapshot, whose ended rollouts are not read again.
    """

    def __init__(self, experiment: Experiment, *, state: State, before: Snapshot | None = None) -> None:
        self.experiment = experiment
        self.state = state
        self.arms: tuple[Arm, ...] = tuple(experiment.arms.order_by("position"))
        self._before = before
        self._frame: Frame | None = None
        self._measures: dict[str, Measure] = {name: MEASURES[name] for name in _USUAL}
        self._remembered: dict[Hashable, Any] = {}
        self._lock = RLock()

    def __len__(self) -> int:
        return 0 if self._frame is None else len(self._frame)

    @property
    def version(self) -> str:
        """A hash that changes whenever a rollout begins, ends or disappears, and when files are imported again."""
        return self.state.version

    @property
    def latest_read(self) -> Snapshot | None:
        """This snapshot if its rollouts were read, else the one before it."""
        return self if self._frame is not None else self._before

    def frame(self, measures: Iterable[Measure] = ()) -> Frame:
        """Returns all rollouts, with at least these measures and the most used ones."""
        asked = {measure.name: measure for measure in measures}
        with self._lock:
            if self._frame is None:
                self._frame, self._before = self._renewed(), None
            if self._frame is None or not asked.keys() <= self._frame.columns.keys():
                self._measures = {**self._measures, **asked}
                self._frame = load([arm.pk for arm in self.arms], measures=list(self._measures.values()))
            return self._frame

    def _renewed(self) -> Frame | None:
        """Returns the previous snapshot's frame, brought up to date; None if that is not possible."""
        before = self._before
        if before is None or before._frame is None:
            return None
        if replace(before.state, version="") != replace(self.state, version=""):
            return None
        frame, measures = before._frame, before._measures  # the frame first, because its measures are set by then
        found = refresh(frame, unfinished=_unfinished(self.experiment), measures=list(measures.values()))
        if found is not None:
            self._measures = measures
            known = dict(before._remembered)  # a copy, because other threads may be adding to it
            self._remembered |= {key: known[key] for key in known if _is_of_examples(key)}  # these stay the same
        return found

    def examples(self) -> list[int]:
        """Returns the ids of the experiment's examples, in ascending order."""
        return self.remembered(_EXAMPLES, lambda: [int(found) for found in np.unique(self.frame()["example"])])

    def metadata_keys(self) -> tuple[Key, ...]:
        """Returns the keys of the examples' metadata by which rollouts can be grouped."""
        return self.remembered(_METADATA_KEYS, lambda: metadata_keys(self.examples()))

    def metadata(self, key: str) -> dict[int, Any]:
        """Returns a map of example → its metadata under this key."""
        return self.remembered((_METADATA, key), lambda: example_values(self.examples(), key))

    def metrics(self) -> tuple[str, ...]:
        """Returns the names of the metrics that the environments' scoring gives beside the reward."""
        return self.remembered("metrics", lambda: _metrics([arm.pk for arm in self.arms]))

    def stop_reasons(self) -> tuple[str, ...]:
        """Returns the stop reasons of its rollouts, sorted."""
        return tuple(sorted({each.stop_reason for each in self.tallies()} - {""}))

    def tallies(self) -> list[Tally]:
        """Returns the counts and sums of all rollouts by state."""
        return self.remembered("tallies", lambda: tally([self.experiment]))

    def remembered(self, key: Hashable, make: Callable[[], T]) -> T:
        """Returns the result of `make`, computed once per key.

        Concurrent callers wait for the first one, because readers of a running experiment come together.
        """
        with self._lock:
            if key not in self._remembered:
                made = make()
                if len(self._remembered) >= _KEPT_RESULTS:  # keys come from URLs, which anyone can make up
                    self._remembered.clear()
                self._remembered[key] = made
            return cast("T", self._remembered[key])


_snapshots: OrderedDict[int, Snapshot] = OrderedDict()
_lock = Lock()


def snapshot(experiment: Experiment) -> Snapshot:
    """Returns the current snapshot, reusing the previous one if nothing changed. One query that reads an index."""
    state = _state(experiment)
    with _lock:
        found = _snapshots.get(experiment.pk)
        if found is None or found.state != state:
            before = found.latest_read if found is not None else None
            found = _snapshots[experiment.pk] = Snapshot(experiment, state=state, before=before)
        _snapshots.move_to_end(experiment.pk)
        _forget_oldest()
    return found


def forget() -> None:
    """Drops all snapshots. For code that changes rows in ways that no running program does."""
    with _lock:
        _snapshots.clear()


def _forget_oldest() -> None:
    while len(_snapshots) > 1 and (
        len(_snapshots) > _KEPT or sum(len(each) for each in _snapshots.values()) > _KEPT_ROLLOUTS
    ):
        _snapshots.popitem(last=False)


def _state(experiment: Experiment) -> State:
    states = experiment.rollouts().values_list("status").order_by("status")
    counts = list(states.annotate(Count("id"), Max("finished_at")))
    files = repr(experiment.sources)
    known = repr((counts, experiment.cancelled_at, files, experiment.revision))
    version = hashlib.sha256(known.encode()).hexdigest()[:16]
    total = sum(count for _, count, _ in counts)
    return State(version=version, total=total, files=files, revision=experiment.revision)


def _unfinished(experiment: Experiment) -> list[int]:
    """Returns the ids of the rollouts that have not ended. Aggregated into one row, because 100,000 rows
    are slow.
    """
    found = experiment.rollouts().unfinished().aggregate(ids=ArrayAgg("pk", default=[]))
    return list(found["ids"])


def _is_of_examples(key: Hashable) -> bool:
    return key in (_EXAMPLES, _METADATA_KEYS) or (isinstance(key, tuple) and key[0] == _METADATA)


def _metrics(arms: Sequence[int]) -> tuple[str, ...]:
    """Returns metric names from the first completed rollouts of each arm, because its rollouts all have
    the same.
    """
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
