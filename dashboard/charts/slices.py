"""Slices: the rollouts of a figure, and those behind each of its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlm_runs.analysis.aggregates import Snapshot
from rlm_runs.analysis.aggregates.dimensions import (
    METADATA,
    Dimension,
    Grouping,
    Level,
    dimensions,
    grouped,
    residual,
    side,
    stop_reason,
)
from rlm_runs.analysis.aggregates.frame import Frame
from rlm_runs.analysis.aggregates.points import Cell, Cut, cut

from .numbers import Series
from .query import FigureQuery


@dataclass(frozen=True, eq=False)
class Sliced:
    """The rollouts of a figure, cut by facet, group and series."""

    snapshot: Snapshot
    asked: FigureQuery
    frame: Frame
    facets: Grouping
    groups: Grouping
    series: Grouping
    pieces: Cut
    look: tuple[Series, ...]

    def facet_of(self, cell: Cell) -> str:
        return self.facets.values[cell.place[0]].label

    def group_of(self, cell: Cell) -> str:
        return self.groups.values[cell.place[1]].label

    def series_of(self, cell: Cell) -> Series:
        return self.look[cell.place[2]]


def slice_rollouts(snapshot: Snapshot, asked: FigureQuery, notes: list[str]) -> Sliced:
    known = dimensions(snapshot)
    needed = list(asked.measures)
    if "stop" in (asked.by, asked.series, asked.facet, *(name for name, _ in asked.where)):
        needed.append(stop_reason(snapshot))
    by, series, facet = _dimensions(snapshot, asked)
    frame = _filtered(snapshot, asked, snapshot.frame(needed))
    frame = _varying_panels(snapshot, asked, frame, by=by, facet=facet, notes=notes)
    by_codes = grouped(snapshot, by, frame=frame, bins=asked.bins)
    series_codes, facet_codes = (grouped(snapshot, each, frame=frame, bins=3) for each in (series, facet))
    if "set." not in asked.by and known[asked.by].numeric and asked.form == "bars" and _is_binned(by_codes):
        notes.append(f"{by.title.capitalize()} is put in bins of about equally many rollouts.")
    codes = [facet_codes.codes, by_codes.codes, series_codes.codes]
    pieces = cut(frame, codes, unscored=asked.unscored)
    pooled = max((len(cell.arms) for cell in pieces.cells), default=1)
    if pooled > 1:
        notes.append(f"Up to {pooled} arms are put together in one point.")
    look = _series_looks(snapshot, series, series_codes, pieces)
    return Sliced(snapshot, asked, frame, facet_codes, by_codes, series_codes, pieces, look)


def _is_binned(found: Grouping) -> bool:
    return any(value.low is not None for value in found.values)


def _filtered(snapshot: Snapshot, asked: FigureQuery, frame: Frame) -> Frame:
    """Returns the rollouts of the requested arms and values."""
    if asked.arms:
        frame = frame.where(np.isin(frame["arm"], asked.arms))
    known = dimensions(snapshot)
    for name in dict.fromkeys(name for name, _ in asked.where):
        found = grouped(snapshot, known[name], frame=frame, bins=asked.bins)
        labels = {value for other, value in asked.where if other == name}
        chosen = [at for at, value in enumerate(found.values) if value.label in labels]
        frame = frame.where(np.isin(found.codes, chosen))
    return frame


def _varying_panels(
    snapshot: Snapshot, asked: FigureQuery, frame: Frame, *, by: Dimension, facet: Dimension, notes: list[str]
) -> Frame:
    """Returns the panels in which the figure's setting varies, if any. The other panels say nothing about it."""
    if not asked.by.startswith(("set.", METADATA)):
        return frame
    panels, values = grouped(snapshot, facet, frame=frame, bins=3), grouped(snapshot, by, frame=frame, bins=2)
    varies = [len(np.unique(values.codes[panels.codes == at])) > 1 for at in range(len(panels.values))]
    if all(varies) or not any(varies):
        return frame
    shown = [value.label for value, is_shown in zip(panels.values, varies, strict=True) if is_shown]
    left = len(varies) - len(shown)
    only = f"Shown is {shown[0]}; " if len(shown) == 1 else ""
    panels_left = "1 more panel" if left == 1 else f"{left} more panels"
    notes.append(f"{only}{panels_left}, in which {by.title} does not vary, would tell nothing of it.")
    return frame.where(np.isin(panels.codes, np.flatnonzero(varies)))


def _dimensions(snapshot: Snapshot, asked: FigureQuery) -> tuple[Dimension, Dimension, Dimension]:
    """Returns the dimensions of axis, colour and panel. No dimension repeats what the axis covers."""
    known = dimensions(snapshot)
    by = known[asked.by]
    everything = Dimension("none", "", Level.ARM, by_arm={arm.pk: "" for arm in snapshot.arms})
    if asked.series == "none":
        series = everything
    elif asked.series in ("group", "variant"):
        series = side(snapshot, asked.series, told=by.parts)
    else:
        series = known[asked.series]
    told = by.parts | series.parts
    if asked.facet == "none":
        return by, series, everything
    if asked.facet == "rest":
        return by, series, residual(snapshot, told=told)
    if asked.facet in ("group", "variant"):
        return by, series, side(snapshot, asked.facet, told=told)
    return by, series, known[asked.facet]


def _series_looks(snapshot: Snapshot, dimension: Dimension, found: Grouping, pieces: Cut) -> tuple[Series, ...]:
    """Returns the look of each series: a scaffold's colour if series are scaffolds, else the next palette
    colour.
    """
    scaffolds = {arm.pk: arm.scaffold for arm in snapshot.arms}
    by_scaffold = "scaffold" in dimension.parts
    look: list[Series] = []
    for at, value in enumerate(found.values):
        of_arms = {scaffolds[arm] for cell in pieces.cells if cell.place[2] == at for arm in cell.arms}
        scaffold = of_arms.pop() if by_scaffold and len(of_arms) == 1 else ""
        look.append(Series(value.label, scaffold, sum(each.scaffold == scaffold for each in look)))
    return tuple(look)


def of_facet(sliced: Sliced, facet: int) -> Cut:
    """Returns the cells of one panel, renumbered."""
    pieces = sliced.pieces
    if len(sliced.facets.values) == 1:
        return pieces
    own = [at for at, cell in enumerate(pieces.cells) if cell.place[0] == facet]
    number = np.full(max(len(pieces.cells), 1), -1, dtype=np.int64)
    number[own] = np.arange(len(own))
    cells = number[pieces.frame["cell"]]
    frame = pieces.frame.with_column("cell", cells).where(cells >= 0)
    return Cut(cells=tuple(pieces.cells[at] for at in own), frame=frame, unscored=pieces.unscored)
