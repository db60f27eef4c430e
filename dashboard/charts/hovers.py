"""The text of a hover: the exact values of a point in a figure."""

from __future__ import annotations

from ..formatting import count, significant
from .numbers import Point
from .style import plain


def hover(point: Point) -> str:
    """Returns exact values, one per line. The page's script makes the first one bold, which needs no tags."""
    lines = [" on ".join(filter(None, (plain(point.series.name), plain(point.group))))]
    if point.value:
        interval = point.value
        lines.append(f"{plain(point.measure)} {_exact(interval.mean)}, n {interval.n:,} of {point.total:,}")
        if interval.low is not None:
            upper = "no upper limit" if interval.high is None else significant(interval.high)
            lines.append(f"95 %: {significant(interval.low)} to {upper} ({interval.method})")
        else:
            lines.append(interval.method)
    if point.x and point.x.method != "bin":
        lines.append(f"at {_exact(point.x.mean)}")
    if point.paired:
        lines.append(f"better on {point.paired.better}, worse on {point.paired.worse}, p = {point.paired.p:.3g}")
    lines.append(", ".join(left_out_words(point)))
    return "\n".join(line for line in lines if line)


def _exact(number: float) -> str:
    return f"{number:,.2f}" if abs(number) >= 1000 else f"{number:.6g}"


def left_out_words(point: Point) -> list[str]:
    """Returns the numbers of rollouts without a reward or without the measure, with the reasons."""
    words = [
        f"{count(number)} {name.replace('_', ' ')}" for name, number in vars(point.left_out).items() if number
    ]
    return [*words, f"{count(point.unknown)} not known"] if point.unknown else words
