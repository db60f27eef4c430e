"""The captions of figures: what they count and what they omit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlm_runs.analysis.aggregates import Unscored
from rlm_runs.analysis.aggregates.points import LeftOut

from ..formatting import mean, plural
from .numbers import Chart

_NAMED = 2
_HOW = {
    Unscored.EXCLUDE: "are left out",
    Unscored.ZERO: "count as reward 0, with the tokens, seconds and dollars that they took",
    Unscored.COMMON: "are left out, and with each its example in every arm",
}
_HOW_ONE = {
    Unscored.EXCLUDE: "is left out",
    Unscored.ZERO: "counts as reward 0, with the tokens, seconds and dollars that it took",
    Unscored.COMMON: "is left out, and with it its example in every arm",
}
_OTHERWISE = {
    Unscored.EXCLUDE: "Left out",
    Unscored.ZERO: "Counted as zero",
    Unscored.COMMON: "On the examples that all arms finished",
}
_SHOWN = {
    "bars": "Bars are means, whiskers 95 % intervals.",
    "stack": "Bars are means, from the axis: main prompt, main completion, sub-LLM prompt, sub-LLM completion.",
    "line": "Marks are means of bins, at the mean of what is in them, the series a little apart; "
    "whiskers are 95 % intervals.",
    "curve": "Lines are rolling means over {window} neighbouring examples, bands 95 % intervals point by point.",
    "dots": "Each mark is a rollout, those of the series a little apart; the table has the means of bins.",
    "tradeoff": "Marks are means, whiskers 95 % intervals both ways.",
}


def caption(chart: Chart) -> str:
    """Returns the caption: what the figure shows, which rollouts it omits, and its notes."""
    forms = list(dict.fromkeys(panel.form for panel in chart.panels))
    words = [_SHOWN[form].format(window=_windows(chart)) for form in forms if form in _SHOWN][:2]
    if not chart.points and chart.groups:
        words.append("No group has a second arm to compare: give the model, or what else differs, the colours.")
    if any(point.paired for point in chart.points):
        words.append("A lift is the mean difference on the examples that both have; p is in the table.")
    if any(point.measure == "main-token efficiency" for point in chart.points):
        words.append("An efficiency is taken on the examples that both have.")
    if counts := unscored_words(chart.left_out):
        how = _HOW_ONE if sum(_unscored(chart.left_out)) == 1 else _HOW
        words.append(f"{counts} {how[chart.unscored]}.")
    words += effects(chart)
    if others := _others(chart.left_out):
        one = chart.left_out.cancelled + chart.left_out.unfinished == 1
        words.append(f"{others} {'counts' if one else 'count'} in no way.")
    unknown = max((point.unknown for point in chart.points), default=0)
    if unknown:
        words.append(f"What is not known (of up to {plural(unknown, 'rollout')} in a point) is left out, too.")
    dots = sum(len(curve.x) for panel in chart.panels for curve in panel.curves)
    away = sum(curve.left_away for panel in chart.panels for curve in panel.curves)
    if away:
        words.append(f"{dots:,} of {dots + away:,} rollouts are drawn, evenly chosen; the table has all.")
    return " ".join([*words, *chart.notes])


def _windows(chart: Chart) -> str:
    """Returns the number of examples of a rolling mean: 10, or 5 to 10 if the curves differ."""
    found = sorted({curve.window for panel in chart.panels for curve in panel.curves})
    return " to ".join(f"{each:,}" for each in dict.fromkeys((found[0], found[-1]))) if found else "so many"


def unscored_words(left_out: LeftOut) -> str:
    """Returns counts such as "27 too long and 2 failed"; "" without any."""
    return _listed(list(zip(_unscored(left_out), ("too long", "unjudged", "failed"), strict=True)))


def _unscored(left_out: LeftOut) -> tuple[int, int, int]:
    return left_out.too_long, left_out.unjudged, left_out.failed


def _others(left_out: LeftOut) -> str:
    return _listed([(left_out.cancelled, "cancelled"), (left_out.unfinished, "unfinished")])


def _listed(counts: Sequence[tuple[int, str]]) -> str:
    return " and ".join(f"{number:,} {word}" for number, word in counts if number)


def effects(chart: Chart) -> Iterator[str]:
    """Yields the effects of the other treatments of unscored rollouts on the means that they change most."""
    for way in Unscored:
        changes = [
            _Change(f"the mean {each.measure} of {each.label}", each.means[chart.unscored], each.means[way])
            for each in chart.effects
        ]
        seen = sorted((each for each in changes if each.is_seen), key=lambda each: -each.size)
        if seen:
            more = f", and {len(seen) - _NAMED} more" if len(seen) > _NAMED else ""
            yield f"{_OTHERWISE[way]}, {'; '.join(each.words for each in seen[:_NAMED])}{more}."


@dataclass(frozen=True)
class _Change:
    """One mean under the current treatment, and under another."""

    label: str
    now: tuple[float, int] | None
    then: tuple[float, int] | None

    @property
    def size(self) -> float:
        return abs((self.then[0] if self.then else 0.0) - (self.now[0] if self.now else 0.0))

    @property
    def is_seen(self) -> bool:
        return self.now != self.then and _mean_text(self.now) != _mean_text(self.then)

    @property
    def words(self) -> str:
        return f"{self.label} would be {_mean_text(self.then)} instead of {_mean_text(self.now)}"


def _mean_text(found: tuple[float, int] | None) -> str:
    if found is None:
        return "unknown"
    value, n = found
    number = f"{value:.3g}" if abs(value) < 100 else mean(value)
    return f"{number} (n {n:,})"
