"""From an experiment and what is asked to a figure in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rlm_runs.aggregates import Snapshot, Unscored
from rlm_runs.aggregates.counting import LONGEST_QUERY, examples_term
from rlm_runs.aggregates.dimensions import (
    METADATA,
    Dimension,
    Grouping,
    Level,
    dimensions,
    grouped,
    numbers,
    residual,
    side,
    stop_reason,
)
from rlm_runs.aggregates.frame import Frame
from rlm_runs.aggregates.measures import MEASURES, Measure, measure
from rlm_runs.aggregates.points import (
    Cell,
    Cut,
    LeftOut,
    Mean,
    bounds,
    cut,
    efficiencies,
    lifts,
    means,
    plain_means,
)
from rlm_runs.models.experiments import Scaffold
from rlm_runs.statistics import Interval, holm, rolling_mean

from . import asked as asking
from .asked import Asked
from .chart import Chart, Curve, Effect, Panel, Point, Series
from .specs import EFFICIENCY, LIFT, MEAN, STACK, TOKEN_PARTS, TRADEOFF, Part

MOST_DOTS = 1_200
_WIDE = 30
"""A numeric axis of which the ends are farther apart than this factor opens logarithmic."""


def chart(snapshot: Snapshot, asked: Asked) -> Chart:
    """The figure, computed once for as long as the experiment does not change."""
    return snapshot.remembered(("chart", asked), lambda: _chart(snapshot, asked))


@dataclass(frozen=True, eq=False)
class _Sliced:
    """The rollouts that a figure is about, cut by facet, group and series."""

    snapshot: Snapshot
    asked: Asked
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


def _chart(snapshot: Snapshot, asked: Asked) -> Chart:
    notes: list[str] = []
    sliced = _slice(snapshot, asked, notes)
    facets = [replace(sliced, pieces=_of_facet(sliced, facet)) for facet in range(len(sliced.facets.values))]
    panels = [_panel(own, part, at) for at, own in enumerate(facets) for part in asked.parts]
    known = dimensions(snapshot)
    totals = np.array([list(vars(cell.left_out).values()) for cell in sliced.pieces.cells], dtype=np.int64)
    return Chart(
        title=asking.title(asked, known),
        by=known[asked.by].title,
        groups=sliced.groups.values,
        series=sliced.look,
        panels=tuple(panels),
        unscored=asked.unscored,
        left_out=LeftOut(*totals.sum(axis=0).tolist()) if len(totals) else LeftOut(),
        effects=tuple(_effects(sliced)),
        notes=tuple(notes),
        simulated=any(arm.simulated for arm in snapshot.arms),
    )


def _slice(snapshot: Snapshot, asked: Asked, notes: list[str]) -> _Sliced:
    known = dimensions(snapshot)
    needed = list(asked.measures)
    if "stop" in (asked.by, asked.series, asked.facet, *(name for name, _ in asked.where)):
        needed.append(stop_reason(snapshot))
    by, series, facet = _dimensions(snapshot, asked)
    frame = _narrowed(snapshot, asked, snapshot.frame(needed))
    frame = _that_vary(snapshot, asked, frame, by=by, facet=facet, notes=notes)
    by_codes = grouped(snapshot, by, frame=frame, bins=asked.bins)
    series_codes, facet_codes = (grouped(snapshot, each, frame=frame, bins=3) for each in (series, facet))
    if "set." not in asked.by and known[asked.by].numeric and asked.form == "bars" and _is_binned(by_codes):
        notes.append(f"{by.title.capitalize()} is put in bins of about equally many rollouts.")
    codes = [facet_codes.codes, by_codes.codes, series_codes.codes]
    pieces = cut(frame, codes, unscored=asked.unscored)
    pooled = max((len(cell.arms) for cell in pieces.cells), default=1)
    if pooled > 1:
        notes.append(f"Up to {pooled} arms are put together in one point.")
    look = _look(snapshot, series, series_codes, pieces)
    return _Sliced(snapshot, asked, frame, facet_codes, by_codes, series_codes, pieces, look)


def _is_binned(found: Grouping) -> bool:
    return any(value.low is not None for value in found.values)


def _narrowed(snapshot: Snapshot, asked: Asked, frame: Frame) -> Frame:
    """The rollouts of the arms and values that are asked for."""
    if asked.arms:
        frame = frame.where(np.isin(frame["arm"], asked.arms))
    known = dimensions(snapshot)
    for name in dict.fromkeys(name for name, _ in asked.where):
        found = grouped(snapshot, known[name], frame=frame, bins=asked.bins)
        labels = {value for other, value in asked.where if other == name}
        chosen = [at for at, value in enumerate(found.values) if value.label in labels]
        frame = frame.where(np.isin(found.codes, chosen))
    return frame


def _that_vary(
    snapshot: Snapshot, asked: Asked, frame: Frame, *, by: Dimension, facet: Dimension, notes: list[str]
) -> Frame:
    """The panels in which the setting varies that the figure is by, where there are such: others tell nothing
    of it.
    """
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


def _dimensions(snapshot: Snapshot, asked: Asked) -> tuple[Dimension, Dimension, Dimension]:
    """Along the axis, by colour, and by panel. What the axis tells is told by nothing else again."""
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


def _look(snapshot: Snapshot, dimension: Dimension, found: Grouping, pieces: Cut) -> tuple[Series, ...]:
    """A scaffold's colour where the series tell scaffolds apart, else one after the other."""
    scaffolds = {arm.pk: arm.scaffold for arm in snapshot.arms}
    by_scaffold = "scaffold" in dimension.parts
    look: list[Series] = []
    for at, value in enumerate(found.values):
        of_arms = {scaffolds[arm] for cell in pieces.cells if cell.place[2] == at for arm in cell.arms}
        scaffold = of_arms.pop() if by_scaffold and len(of_arms) == 1 else ""
        look.append(Series(value.label, scaffold, sum(each.scaffold == scaffold for each in look)))
    return tuple(look)


def _panel(sliced: _Sliced, part: Part, facet: int) -> Panel:
    """One part of the figure for one value of the facet."""
    makers = {LIFT: _lift, STACK: _stack, EFFICIENCY: _efficiency, TRADEOFF: _tradeoff, MEAN: _mean}
    panel = makers[part.kind](sliced, part)
    words = [sliced.facets.values[facet].label] if len(sliced.facets.values) > 1 else []
    words += [panel.title] if len(sliced.asked.parts) > 1 else []
    return replace(panel, title=" · ".join(words))


def _of_facet(sliced: _Sliced, facet: int) -> Cut:
    """The cells of one panel, numbered anew."""
    pieces = sliced.pieces
    if len(sliced.facets.values) == 1:
        return pieces
    own = [at for at, cell in enumerate(pieces.cells) if cell.place[0] == facet]
    number = np.full(max(len(pieces.cells), 1), -1, dtype=np.int64)
    number[own] = np.arange(len(own))
    cells = number[pieces.frame["cell"]]
    frame = pieces.frame.with_column("cell", cells).where(cells >= 0)
    return Cut(cells=tuple(pieces.cells[at] for at in own), frame=frame, unscored=pieces.unscored)


def _measure(part: Part) -> Measure:
    found = measure(part.measure)
    assert found is not None, part.measure
    return found


def _axis(shown: Measure) -> str:
    """The title with its unit, where it does not say that itself."""
    return shown.title if shown.unit in shown.title else shown.axis


def _mean(sliced: _Sliced, part: Part) -> Panel:
    shown = _measure(part)
    found = means(sliced.pieces, shown)
    points = [
        _point(sliced, cell, shown.title, mean.interval, unknown=mean.unknown)
        for cell, mean in zip(sliced.pieces.cells, found, strict=True)
    ]
    panel = Panel(title=shown.title, form="bars", y=f"mean {_axis(shown)}", points=tuple(points))
    return panel if sliced.asked.form == "bars" else _along(sliced, panel, shown)


def _lift(sliced: _Sliced, part: Part) -> Panel:
    shown = _measure(part)
    baselines = _baselines(sliced)
    found = lifts(sliced.pieces, shown, baselines=baselines)
    adjusted = holm([np.nan if each is None else each.p for each in found])
    plain = means(sliced.pieces, shown)
    name = f"lift in {shown.title}"
    points = []
    for at, (cell, base) in enumerate(zip(sliced.pieces.cells, baselines, strict=True)):
        if base == at:
            continue
        paired, own = found[at], plain[at].interval
        other = plain[base].interval if base is not None else None
        why = "" if paired else "there is no LLM to compare with" if base is None else "no example has both"
        point = _point(sliced, cell, name, paired.difference if paired else None, why=why)
        difference = own.mean - other.mean if own and other else None
        p = None if paired is None else float(adjusted[at])
        points.append(replace(point, paired=paired, p=p, plain=difference, unknown=plain[at].unknown))
    names = {sliced.series_of(sliced.pieces.cells[base]).name for base in baselines if base is not None}
    baseline = f"{names.pop()}'s" if len(names) == 1 else "its baseline's"
    return Panel(title=name, form="bars", y=f"{_axis(shown)}, less {baseline}", points=tuple(points))


def _efficiency(sliced: _Sliced, part: Part) -> Panel:
    baselines = _baselines(sliced)
    found = efficiencies(sliced.pieces, baselines=baselines)
    rewards, tokens = (means(sliced.pieces, MEASURES[name]) for name in ("reward", "main_tokens"))
    per_token = [
        reward.interval.mean / token.interval.mean
        if reward.interval and token.interval and token.interval.mean
        else None
        for reward, token in zip(rewards, tokens, strict=True)
    ]
    points = []
    for at, (cell, base) in enumerate(zip(sliced.pieces.cells, baselines, strict=True)):
        other = per_token[base] if base is not None else None
        own = per_token[at]
        plain = own / other if own is not None and other else None
        why = "" if found[at] else _no_efficiency(rewards, tokens, at=at, base=base)
        point = _point(sliced, cell, "main-token efficiency", found[at], why=why, unknown=tokens[at].unknown)
        points.append(replace(point, plain=plain))
    return Panel(
        title="main-token efficiency",
        form="bars",
        y="reward per token, × the LLM's",
        points=tuple(points),
        base=1.0,
    )


def _no_efficiency(rewards: Sequence[Mean], tokens: Sequence[Mean], *, at: int, base: int | None) -> str:
    """Why a cell has none; empty where the cell itself says it."""
    if base is None:
        return "there is no LLM to compare with"
    if rewards[at].interval is None or rewards[base].interval is None:
        return "" if rewards[at].interval is None else "no rollout of the LLM counts"
    if tokens[at].interval is None or tokens[base].interval is None:
        return "" if tokens[at].interval is None else "the LLM's tokens are not known"
    return "no example has both, a reward is below 0, or the LLM's reward or tokens are 0"


def _stack(sliced: _Sliced, part: Part) -> Panel:
    points = []
    for name in TOKEN_PARTS:
        shown = MEASURES[name]
        found = means(sliced.pieces, shown)
        points += [
            _point(sliced, cell, shown.title, mean.interval, unknown=mean.unknown)
            for cell, mean in zip(sliced.pieces.cells, found, strict=True)
        ]
    return Panel(title="tokens", form="stack", y="mean tokens per rollout", points=tuple(points))


def _tradeoff(sliced: _Sliced, part: Part) -> Panel:
    along = _measure(part)
    rewards, others = means(sliced.pieces, MEASURES["reward"]), means(sliced.pieces, along)
    name = f"reward against {along.title}"
    points = [
        replace(_point(sliced, cell, name, reward.interval, unknown=other.unknown), x=other.interval)
        for cell, reward, other in zip(sliced.pieces.cells, rewards, others, strict=True)
    ]
    known = [point.x.mean for point in points if point.x]
    return Panel(
        title=f"reward × {along.title}",
        form="tradeoff",
        y="mean reward",
        x=f"mean {_axis(along)}",
        points=tuple(points),
        log=_is_log(sliced.asked, known),
    )


def _along(sliced: _Sliced, panel: Panel, shown: Measure) -> Panel:
    """The same means at their places along a numeric axis; single values and rolling means beside them."""
    dimension = sliced.groups.dimension
    at = numbers(sliced.snapshot, dimension, frame=sliced.pieces.frame)
    cell_of = sliced.pieces.frame["cell"]
    points = []
    for number, point in enumerate(panel.points):
        own = at[(cell_of == number) & ~np.isnan(at)]
        if len(own):
            value = sliced.groups.values[sliced.pieces.cells[number].place[1]]
            points.append(replace(point, x=Interval(float(own.mean()), len(own), value.low, value.high, "bin")))
    whole = [float(each) for each in at[~np.isnan(at)]]
    curves = () if sliced.asked.form == "binned" else tuple(_curves(sliced, shown, at))
    return replace(
        panel,
        form={"binned": "line", "rolling": "curve", "scatter": "dots"}[sliced.asked.form],
        y=_axis(shown) if sliced.asked.form == "scatter" else panel.y,
        x=f"{dimension.title}{', characters' if dimension.name.endswith(('_length', '_len')) else ''}",
        points=tuple(points),
        curves=curves,
        log=_is_log(sliced.asked, whole),
    )


def _curves(sliced: _Sliced, shown: Measure, at: NDArray[np.float64]) -> Iterator[Curve]:
    frame = sliced.pieces.frame
    places = np.array([cell.place[2] for cell in sliced.pieces.cells], dtype=np.int64)
    for number, series in enumerate(sliced.look):
        own = ~np.isnan(at) & ~np.isnan(frame[shown.name])
        own &= places[frame["cell"]] == number if len(places) else False
        part, x, y = frame.where(own), at[own], frame[shown.name][own]
        if not len(x):
            continue
        none, no_ids = np.empty(0), np.empty(0, dtype=np.int64)
        if sliced.asked.form == "rolling":
            window = max(2, -(-len(np.unique(part["example"])) // sliced.asked.bins))
            found = rolling_mean(x, y, window=window, clusters=part["example"])
            low, high = (np.clip(each, *bounds(shown, y)) for each in (found.low, found.high))
            yield Curve(series, found.x, found.mean, low, high, no_ids, no_ids, window=found.window)
            continue
        step = -(-len(x) * len(sliced.look) // MOST_DOTS)
        order = np.argsort(part["position"], kind="stable")[::step]
        yield Curve(
            series,
            x[order],
            y[order],
            none,
            none,
            part["position"][order] + 1,
            part["rollout"][order],
            left_away=len(x) - len(order),
        )


def _is_log(asked: Asked, values: Sequence[float]) -> bool:
    if asked.scale:
        return asked.scale == "log" and bool(values) and min(values) > 0
    return bool(values) and min(values) > 0 and max(values) / min(values) > _WIDE


def _baselines(sliced: _Sliced) -> list[int | None]:
    """Of each cell the number of the LLM's cell at the same place.

    A setting of the scaffold may have no LLM at most of its values: then the panel's only LLM is that of all.
    """
    scaffolds = {arm.pk: arm.scaffold for arm in sliced.snapshot.arms}
    cells = sliced.pieces.cells
    of_llm = [at for at, cell in enumerate(cells) if {scaffolds[arm] for arm in cell.arms} == {Scaffold.LLM}]
    by_group: dict[int, int] = {}
    for at in of_llm:
        by_group.setdefault(cells[at].place[1], at)
    alone = of_llm[0] if len(of_llm) == 1 and _is_of_scaffold(sliced) else None
    return [by_group.get(cell.place[1], alone) for cell in cells]


def _is_of_scaffold(sliced: _Sliced) -> bool:
    name = sliced.groups.dimension.name.removeprefix("set.")
    return any(name in arm.scaffold_settings for arm in sliced.snapshot.arms)


def _point(
    sliced: _Sliced, cell: Cell, name: str, value: Interval | None, *, unknown: int = 0, why: str = ""
) -> Point:
    return Point(
        facet=sliced.facet_of(cell),
        group=sliced.group_of(cell),
        series=sliced.series_of(cell),
        measure=name,
        value=value,
        total=cell.total,
        counted=cell.counted,
        unknown=unknown,
        left_out=cell.left_out,
        query=_query(sliced, cell),
        why=why if value is None and why else _why(cell, unknown) if value is None else "",
    )


def _why(cell: Cell, unknown: int) -> str:
    if not cell.counted:
        return "no rollout counts" if cell.left_out.unfinished < cell.total else "not run yet"
    return f"not known of {unknown} rollouts" if unknown else ""


def _query(sliced: _Sliced, cell: Cell) -> str | None:
    """The filter that finds the rollouts of a cell that count."""
    groupings = (sliced.facets, sliced.groups, sliced.series)
    terms = [grouping.values[place].term for grouping, place in zip(groupings, cell.place, strict=True)]
    narrowing = [] if not sliced.asked.where else _where_terms(sliced)
    if None in terms or None in narrowing:
        return None
    outcome = (
        "outcome:scored,too_long,unjudged,failed" if sliced.asked.unscored is Unscored.ZERO else "outcome:scored"
    )
    examples = _examples_term(sliced, cell)
    if examples is None:
        return None
    own = [_arms_term(sliced.snapshot, cell.arms), *narrowing, *terms, outcome, examples]
    query = " ".join(dict.fromkeys(term for term in own if term))
    return query if len(query) <= LONGEST_QUERY else None


def _arms_term(snapshot: Snapshot, arms: Sequence[int]) -> str:
    return "" if len(arms) == len(snapshot.arms) else f"arm:{','.join(map(str, arms))}"


def _where_terms(sliced: _Sliced) -> list[str | None]:
    known = dimensions(sliced.snapshot)
    frame = sliced.frame
    terms: list[str | None] = []
    for name in dict.fromkeys(name for name, _ in sliced.asked.where):
        found = grouped(sliced.snapshot, known[name], frame=frame, bins=sliced.asked.bins)
        if known[name].level is not Level.ARM:
            terms += [found.values[0].term] if len(found.values) == 1 else [None]
    return terms


def _examples_term(sliced: _Sliced, cell: Cell) -> str | None:
    """Which of the cell's examples all arms finished, where it has others; None where no filter tells them."""
    left = cell.left_out
    scored = cell.total - left.unscored - left.cancelled - left.unfinished
    if sliced.asked.unscored is not Unscored.COMMON or scored == cell.counted:
        return ""
    number = next(at for at, each in enumerate(sliced.pieces.cells) if each is cell)
    kept, whole = sliced.pieces.frame, sliced.frame
    return examples_term(kept.where(kept["cell"] == number), whole=whole.where(np.isin(whole["arm"], cell.arms)))


def _effects(sliced: _Sliced) -> Iterator[Effect]:
    """What each state of the switch makes of the first measure, cell by cell, where it makes a difference."""
    part = sliced.asked.parts[0]
    shown = _measure(part) if part.kind in (MEAN, STACK) else MEASURES["reward"]
    codes = [sliced.facets.codes, sliced.groups.codes, sliced.series.codes]
    if not any(cell.left_out.unscored for cell in sliced.pieces.cells):
        return
    ways = {way: plain_means(cut(sliced.frame, codes, unscored=way), shown) for way in Unscored}
    for at, cell in enumerate(sliced.pieces.cells):
        found = {way: each[at] for way, each in ways.items()}
        if len(set(found.values())) > 1:
            words = [sliced.facet_of(cell), sliced.group_of(cell), sliced.series_of(cell).name]
            several = [len(sliced.facets.values) > 1, len(sliced.groups.values) > 1, True]
            label = " · ".join(word for word, is_told in zip(words, several, strict=True) if is_told and word)
            yield Effect(label or "all", shown.title, found)
