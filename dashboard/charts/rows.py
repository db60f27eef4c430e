"""The numbers of a figure as rows: the table under it, its CSV, and its JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from ..formatting import no_formula
from .numbers import Chart, Point

COLUMNS = (
    "panel",
    "by",
    "series",
    "measure",
    "n",
    "mean",
    "low",
    "high",
    "method",
    "x",
    "x_low",
    "x_high",
    "better",
    "worse",
    "equal",
    "p",
    "p_holm",
    "test",
    "plain",
    "rollouts",
    "counted",
    "unknown",
    "too_long",
    "unjudged",
    "failed",
    "cancelled",
    "unfinished",
    "query",
)


def rows(chart: Chart) -> Iterator[dict[str, Any]]:
    """Yields all points, one row each, by `COLUMNS`; None for missing values.

    `mean` is the figure's number: for a lift, the mean difference on common examples with its test; for an
    efficiency, the ratio on them. In these cases, `plain` is the difference or ratio of the means over all counted
    rollouts.
    """
    return (_row(point) for point in chart.points)


def _row(point: Point) -> dict[str, Any]:
    value, x, paired = point.value, point.x, point.paired
    return {
        "panel": point.facet,
        "by": point.group,
        "series": point.series.name,
        "measure": point.measure,
        "n": value.n if value else 0,
        "mean": value.mean if value else None,
        "low": value.low if value else None,
        "high": value.high if value else None,
        "method": value.method if value else point.why,
        "x": x.mean if x else None,
        "x_low": x.low if x else None,
        "x_high": x.high if x else None,
        "better": paired.better if paired else None,
        "worse": paired.worse if paired else None,
        "equal": paired.equal if paired else None,
        "p": paired.p if paired else None,
        "p_holm": point.p,
        "test": paired.test if paired else None,
        "plain": point.plain,
        "rollouts": point.total,
        "counted": point.counted,
        "unknown": point.unknown,
        **vars(point.left_out),
        "query": point.query,
    }


def as_csv(chart: Chart) -> str:
    """Returns all rows with a header, in full precision. Unknown values are empty."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows(chart):
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Returns a value that no spreadsheet reads as a formula, because names are hostile."""
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace").decode().replace("\x00", "␀")
        return no_formula(text)
    return repr(value) if isinstance(value, float) else value
