"""A figure in numbers, built from an experiment and the URL's choices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rlm_runs.analysis.aggregates import (
    Snapshot,
    Unscored,
    decisions,
    ended_early_words,
    uncertain_tokens,
    uncertain_words,
)
from rlm_runs.analysis.aggregates.dimensions import dimensions, numbers
from rlm_runs.analysis.aggregates.measures import MEASURES, Measure, measure
from rlm_runs.analysis.aggregates.points import (
    Cell,
    LeftOut,
    Mean,
    bounds,
    cut,
    efficiencies,
    lifts,
    means,
    plain_means,
)
from rlm_runs.analysis.statistics import Interval, holm, rolling_mean
from rlm_runs.engine.scaffolds import registry

from . import query as asking
from .links import query_of
from .numbers import Chart, Curve, Effect, Panel, Point
from .query import FigureQuery
from .slices import Sliced, of_facet, slice_rollouts
from .specs import (
    EFFICIENCY,
    LIFT,
    MEAN,
    STACK,
    TOKEN_PARTS,
    TRADEOFF,
    Part,
)

MOST_DOTS = 1_200
_WIDE = 30
"""The ratio of a numeric axis's ends above which it is logarithmic by default."""


def chart(snapshot: Snapshot, asked: FigureQuery) -> Chart:
    """Returns the figure, computed once for as long as the experiment does not change."""
    return snapshot.remembered(("chart", asked), lambda: _chart(snapshot, asked))


def _chart(snapshot: Snapshot, asked: FigureQuery) -> Chart:
    notes: list[str] = []
    sliced = slice_rollouts(snapshot, asked, notes)
    facets = [replace(sliced, pieces=of_facet(sliced, facet)) for facet in range(len(sliced.facets.values))]
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
        notes=(*notes, *_ended_early(snapshot, sliced), *_uncertain(snapshot, sliced)),
        simulated=any(arm.simulated for arm in snapshot.arms),
    )


def _ended_early(snapshot: Snapshot, sliced: Sliced) -> Iterator[str]:
    """Yields a warning if the figure has arms that early stopping ended."""
    shown = {arm for cell in sliced.pieces.cells for arm in cell.arms}
    ended = decisions(snapshot)
    if words := ended_early_words(arm for arm in snapshot.arms if arm.pk in shown and arm.pk in ended):
        yield words


def _uncertain(snapshot: Snapshot, sliced: Sliced) -> list[str]:
    """Returns warnings if the server truncated prompts of the figure's rollouts, or if their tokens are
    estimates.
    """
    shown = {arm for cell in sliced.pieces.cells for arm in cell.arms}
    return uncertain_words(found for arm, found in uncertain_tokens(snapshot).items() if arm in shown)


def _panel(sliced: Sliced, part: Part, facet: int) -> Panel:
    """Returns one part of the figure for one value of the facet."""
    makers = {LIFT: _lift, STACK: _stack, EFFICIENCY: _efficiency, TRADEOFF: _tradeoff, MEAN: _mean}
    panel = makers[part.kind](sliced, part)
    words = [sliced.facets.values[facet].label] if len(sliced.facets.values) > 1 else []
    words += [panel.title] if len(sliced.asked.parts) > 1 else []
    return replace(panel, title=" · ".join(words))


def _measure(part: Part) -> Measure:
    found = measure(part.measure)
    assert found is not None, part.measure
    return found


def _axis(shown: Measure) -> str:
    """Returns the title with its unit, unless the title states it."""
    return shown.title if shown.unit in shown.title else shown.axis


def _mean(sliced: Sliced, part: Part) -> Panel:
    shown = _measure(part)
    found = means(sliced.pieces, shown)
    points = [
        _point(sliced, cell, shown.title, mean.interval, unknown=mean.unknown)
        for cell, mean in zip(sliced.pieces.cells, found, strict=True)
    ]
    panel = Panel(title=shown.title, form="bars", y=f"mean {_axis(shown)}", points=tuple(points))
    return panel if sliced.asked.form == "bars" else _along(sliced, panel, shown)


def _lift(sliced: Sliced, part: Part) -> Panel:
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


def _efficiency(sliced: Sliced, part: Part) -> Panel:
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
    """Returns why a cell has no efficiency; "" if the cell itself says it."""
    if base is None:
        return "there is no LLM to compare with"
    if rewards[at].interval is None or rewards[base].interval is None:
        return "" if rewards[at].interval is None else "no rollout of the LLM counts"
    if tokens[at].interval is None or tokens[base].interval is None:
        return "" if tokens[at].interval is None else "the LLM's tokens are not known"
    return "no example has both, a reward is below 0, or the LLM's reward or tokens are 0"


def _stack(sliced: Sliced, part: Part) -> Panel:
    points = []
    for name in TOKEN_PARTS:
        shown = MEASURES[name]
        found = means(sliced.pieces, shown)
        points += [
            _point(sliced, cell, shown.title, mean.interval, unknown=mean.unknown)
            for cell, mean in zip(sliced.pieces.cells, found, strict=True)
        ]
    return Panel(title="tokens", form="stack", y="mean tokens per rollout", points=tuple(points))


def _tradeoff(sliced: Sliced, part: Part) -> Panel:
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


def _along(sliced: Sliced, panel: Panel, shown: Measure) -> Panel:
    """Returns the same means at their places along a numeric axis, with single values and rolling means."""
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


def _curves(sliced: Sliced, shown: Measure, at: NDArray[np.float64]) -> Iterator[Curve]:
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


def _is_log(asked: FigureQuery, values: Sequence[float]) -> bool:
    if asked.scale:
        return asked.scale == "log" and bool(values) and min(values) > 0
    return bool(values) and min(values) > 0 and max(values) / min(values) > _WIDE


def _baselines(sliced: Sliced) -> list[int | None]:
    """Returns for each cell the number of its baseline's cell at the same place.

    A setting of the scaffold may have no baseline at most of its values. In this case, the panel's only baseline
    serves all.
    """
    scaffolds = {arm.pk: arm.scaffold for arm in sliced.snapshot.arms}
    cells = sliced.pieces.cells
    of_llm = [at for at, cell in enumerate(cells) if _all_baselines(scaffolds[arm] for arm in cell.arms)]
    by_group: dict[int, int] = {}
    for at in of_llm:
        by_group.setdefault(cells[at].place[1], at)
    alone = of_llm[0] if len(of_llm) == 1 and _is_of_scaffold(sliced) else None
    return [by_group.get(cell.place[1], alone) for cell in cells]


def _is_of_scaffold(sliced: Sliced) -> bool:
    name = sliced.groups.dimension.name.removeprefix("set.")
    return any(name in arm.scaffold_settings for arm in sliced.snapshot.arms)


def _point(
    sliced: Sliced, cell: Cell, name: str, value: Interval | None, *, unknown: int = 0, why: str = ""
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
        query=query_of(sliced, cell),
        why=why if value is None and why else _why(cell, unknown) if value is None else "",
    )


def _why(cell: Cell, unknown: int) -> str:
    if not cell.counted:
        return "no rollout counts" if cell.left_out.unfinished < cell.total else "not run yet"
    return f"not known of {unknown} rollouts" if unknown else ""


def _effects(sliced: Sliced) -> Iterator[Effect]:
    """Yields the effect of each treatment of unscored rollouts on the first measure, for cells that it changes."""
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


def _all_baselines(scaffolds: Iterable[str]) -> bool:
    """Returns whether there are scaffolds, and all of them are baselines."""
    keys = set(scaffolds)
    return bool(keys) and all(map(registry.is_baseline, keys))
