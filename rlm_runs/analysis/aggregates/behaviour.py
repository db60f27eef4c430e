"""Behaviour of arms: their use of the REPL, stop reasons, failure modes, and how they spend their time.

Uses and times are means over the counted rollouts that have the number; an import without a transcript has fewer.
Stop reasons and failure modes count all rollouts that ended, except cancelled ones, with and without a reward.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from django.db.models import Count, F, Func
from numpy.typing import NDArray

from rlm_runs.engine.scaffolds import registry
from rlm_runs.models import Arm, Experiment, Rollout

from .. import statistics
from ..failure_modes import FAILURE_MODES
from ..statistics import Interval, Table
from .dimensions import arm_parts
from .frame import Frame, Outcome
from .measures import MEASURES
from .snapshot import Snapshot
from .tallies import Tally
from .unscored import (
    COMPLETED,
    FAILED,
    LONGEST_QUERY,
    Unscored,
    examples_term,
    outcomes_term,
    select_counted,
)

Values = NDArray[np.float64]

ARMS_AT_ONCE = 14
"""The maximum number of arms in one response, which bounds its size. They share the room for filters."""


@dataclass(frozen=True)
class Use:
    """A number about a rollout's use of the REPL, NaN if it is unknown or does not exist.

    `term` is the filter for rollouts that have one; for a share, it is the filter for yes. `about` names the
    rollouts of the mean if they are not all.
    """

    name: str
    title: str
    term: str
    of: Callable[[Frame], Values]
    is_share: bool = False
    about: str = ""
    is_rare: bool = False
    """Whether the use is listed only if some rollout has one."""


def _column(name: str) -> Callable[[Frame], Values]:
    return lambda frame: frame[name]


def _any(name: str) -> Callable[[Frame], Values]:
    return lambda frame: np.where(np.isnan(frame[name]), np.nan, frame[name] > 0)


def _positive(name: str) -> Callable[[Frame], Values]:
    return lambda frame: np.where(frame[name] > 0, frame[name], np.nan)


def _repaired(frame: Frame) -> Values:
    return np.where(np.isnan(frame["cell_errors"]), np.nan, frame["cells_repaired"] > 0)


def _calls_per_batch(frame: Frame) -> Values:
    return frame["sub_calls"] / np.where(frame["batches"] > 0, frame["batches"], np.nan)


_CALLERS = "of the rollouts with sub-calls"
_WRITERS = "of the rollouts that wrote one"
USES = (
    Use("with_sub_calls", "rollouts with sub-calls", "subcalls:>0", _any("sub_calls"), is_share=True),
    Use("sub_calls", "sub-calls", "subcalls:>=0", _column("sub_calls")),
    Use("batch_size", "calls per batch", "batches:>0 subcalls:>=0", _calls_per_batch, about=_CALLERS),
    Use("max_batch", "largest batch", "maxbatch:>0", _positive("max_batch"), about=_CALLERS),
    Use("max_parallel", "sub-calls at once", "parallel:>0", _positive("max_parallel"), about=_CALLERS),
    Use("cells", "cells", "cells:>=0", _column("cells")),
    Use("with_errors", "rollouts with a cell error", "errors:>0", _any("cell_errors"), is_share=True),
    Use("with_cuts", "rollouts with cut output", "cuts:>0", _any("cells_cut"), is_share=True),
    Use("with_repairs", "rollouts with a repaired cell", "repaired:>0", _repaired, is_share=True, is_rare=True),
    Use("with_timeouts", "rollouts with a cell timeout", "timeouts:>0", _any("cells_timed_out"), is_share=True),
    Use(
        "first_answer", "turn of the first answer", "firstanswer:>0", _column("first_answer_turn"), about=_WRITERS
    ),
    Use("edits", "edits of the answer", "edits:>=0", _column("answer_edits"), about=_WRITERS),
)


@dataclass(frozen=True)
class Part:
    """One part of a rollout's time. `of` gives seconds."""

    name: str
    title: str
    about: str
    of: Callable[[Frame], Values]


def _rest(frame: Frame) -> Values:
    spent = frame["model_seconds"] + frame["retry_seconds"] + frame["cell_seconds"] + frame["tool_seconds"]
    rest: Values = np.maximum(frame["seconds"] - spent, 0.0)
    return rest


PARTS = (
    Part("model", "root model", "calls of the root model", _column("model_seconds")),
    Part("retries", "retries", "failed tries of those calls, and waiting for the next", _column("retry_seconds")),
    Part("sub", "sub-calls", "of the cells’ time, that in which sub-LLMs ran", _column("sub_seconds")),
    Part(
        "cells",
        "cells alone",
        "of the cells’ time, that in which none ran",
        lambda frame: np.maximum(frame["cell_seconds"] - frame["sub_seconds"], 0.0),
    ),
    Part("tools", "tools", "tool calls of the root", _column("tool_seconds")),
    Part("rest", "rest", "the sandbox’s start, and our own work", _rest),
)

_TIMES = ("seconds", "model_seconds", "retry_seconds", "cell_seconds", "sub_seconds", "tool_seconds")
_COLUMNS = (
    *("reward", "sub_calls", "batches", "max_batch", "max_parallel", "cells", "cell_errors", "cells_cut"),
    *("cells_repaired", "cells_timed_out", "first_answer_turn", "answer_edits", *_TIMES),
)


@dataclass(frozen=True)
class Times:
    """Mean seconds per rollout of an arm in the order of PARTS, over the `n` rollouts that have all parts."""

    parts: tuple[Interval, ...]
    total: Interval
    n: int


@dataclass(frozen=True)
class ArmBehaviour:
    """The behaviour of one arm. `group` and `series` name it as in figures. `uses` are in the order of
    `Behaviour.uses`, None if unknown. `stops` and `modes` count rollouts of `ended`. `counted` is the number of
    rollouts behind uses and times; `query` is the filter for them, None if there is none.
    """

    arm: Arm
    group: str
    series: str
    has_repl: bool
    counted: int
    query: str | None
    ended: int
    uses: tuple[Interval | None, ...]
    times: Times | None
    stops: Mapping[str, int]
    modes: Mapping[str, int]


@dataclass(frozen=True)
class Behaviour:
    """The behaviour of all arms of an experiment, in order. `uses` are those of USES that are listed.

    `stop_reasons` are those that occur, the most frequent first; `total` counts all rollouts.
    """

    unscored: Unscored
    uses: tuple[Use, ...]
    arms: tuple[ArmBehaviour, ...]
    stop_reasons: tuple[str, ...]
    total: int

    @property
    def ended(self) -> int:
        """Rollouts that ended and were not cancelled."""
        return sum(arm.ended for arm in self.arms)

    @property
    def with_repl(self) -> tuple[ArmBehaviour, ...]:
        """The arms whose model has a REPL, which are the only ones that can use it."""
        return tuple(arm for arm in self.arms if arm.has_repl)


def behaviour(snapshot: Snapshot, *, unscored: Unscored = Unscored.EXCLUDE) -> Behaviour:
    """Returns the behaviour of an experiment's arms, in one query beside the snapshot's, none when repeated."""
    return snapshot.remembered(("behaviour", unscored), lambda: _behaviour(snapshot, unscored))


def _behaviour(snapshot: Snapshot, unscored: Unscored) -> Behaviour:
    whole = snapshot.frame(MEASURES[name] for name in _COLUMNS)
    frame = select_counted(whole, unscored)
    arms = np.array([arm.pk for arm in snapshot.arms], dtype=np.int64)
    listed = tuple(use for use in USES if not use.is_rare or (use.of(whole) > 0).any())
    uses = {use.name: _means(frame, use.of(frame), arms, is_share=use.is_share) for use in listed}
    times = _times(frame, arms)
    stops = _stops(snapshot.tallies())
    modes = _modes(snapshot.experiment)
    with_cells = set(whole["arm"][(whole["cells"] > 0) | ~np.isnan(whole["cell_errors"])].tolist())
    parts = arm_parts(snapshot.arms)
    # Each use repeats the filter, so a rare one takes its share of the room.
    room = LONGEST_QUERY * sum(not use.is_rare for use in USES) // len(listed)
    longest = room // max(min(len(snapshot.arms), ARMS_AT_ONCE), 1)
    found = tuple(
        ArmBehaviour(
            arm=arm,
            group=parts[arm.pk].label(of="environment"),
            series=parts[arm.pk].label(of="scaffold"),
            has_repl=registry.runs_code(arm.scaffold) or arm.pk in with_cells,
            counted=int((frame["arm"] == arm.pk).sum()),
            query=_query(arm.pk, unscored, kept=frame, whole=whole, longest=longest),
            ended=sum(stops[arm.pk].values()),
            uses=tuple(uses[use.name].get(arm.pk) for use in listed),
            times=times.get(arm.pk),
            stops=stops[arm.pk],
            modes={name: modes[arm.pk][name] for name in FAILURE_MODES if modes[arm.pk].get(name)},
        )
        for arm in snapshot.arms
    )
    sums: dict[str, int] = defaultdict(int)
    for of_arm in found:
        for reason, number in of_arm.stops.items():
            sums[reason] += number
    reasons = tuple(sorted(sums, key=lambda reason: (-sums[reason], reason)))
    return Behaviour(unscored=unscored, uses=listed, arms=found, stop_reasons=reasons, total=len(whole))


def _query(arm: int, unscored: Unscored, *, kept: Frame, whole: Frame, longest: int) -> str | None:
    """Returns the filter that finds the counted rollouts of an arm; None if it is too long."""
    query = f"arm:{arm} {outcomes_term(unscored)}"
    own = whole.where((whole["arm"] == arm) & (whole["outcome"] == Outcome.SCORED))
    mine = kept.where(kept["arm"] == arm)
    if unscored is not Unscored.COMMON or len(mine) == len(own):
        return query
    examples = examples_term(mine, whole=own)
    whole_query = f"{query} {examples}"
    return whole_query if examples is not None and len(whole_query) <= longest else None


def _means(frame: Frame, values: Values, arms: NDArray[np.int64], *, is_share: bool) -> dict[int, Interval]:
    """Returns a map of arm → the mean over its rollouts that have the number, for arms with some."""
    known = ~np.isnan(values)
    table = Table.of(
        values[known], examples=frame["example"][known], arms=frame["arm"][known], arm_ids=np.sort(arms)
    )
    bounds = (0.0, 1.0 if is_share else np.inf)
    intervals = statistics.mean_intervals(table, bounds=bounds, proportion=is_share)
    return {int(arm): found for arm, found in zip(table.arms, intervals, strict=True) if found is not None}


def _times(frame: Frame, arms: NDArray[np.int64]) -> dict[int, Times]:
    """Returns mean times over the rollouts that have all parts, so that the parts add up to the total."""
    telling = frame.where(~np.isnan(np.stack([frame[name] for name in _TIMES])).any(axis=0))
    totals = _means(telling, telling["seconds"], arms, is_share=False)
    parts = [_means(telling, part.of(telling), arms, is_share=False) for part in PARTS]
    return {
        arm: Times(tuple(part[arm] for part in parts), total=total, n=total.n) for arm, total in totals.items()
    }


def _stops(tallies: Iterable[Tally]) -> dict[int, dict[str, int]]:
    """Returns a map of arm → stop reason → the number of rollouts, without cancelled ones."""
    found: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for each in tallies:
        if each.status in (Rollout.Status.COMPLETED, Rollout.Status.FAILED):
            found[each.arm][each.stop_reason] += each.total
    return found


def _modes(experiment: Experiment) -> dict[int, dict[str, int]]:
    """Returns a map of arm → failure mode → the number of rollouts. One query."""
    mode = Func(F("failure_modes"), function="unnest")
    rows = experiment.rollouts().filter(COMPLETED | FAILED).order_by().values_list("arm", mode)
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for arm, name, number in rows.annotate(Count("id")):
        found[arm][name] = number
    return found
