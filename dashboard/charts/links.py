"""Links from a point of a figure to its rollouts, as a query of the filter language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlm_runs.analysis.aggregates import Snapshot, Unscored
from rlm_runs.analysis.aggregates.dimensions import Level, dimensions, grouped
from rlm_runs.analysis.aggregates.points import Cell
from rlm_runs.analysis.aggregates.unscored import LONGEST_QUERY, examples_term, outcomes_term

from .slices import Sliced


def query_of(sliced: Sliced, cell: Cell) -> str | None:
    """Returns the filter for the counted rollouts of a cell."""
    groupings = (sliced.facets, sliced.groups, sliced.series)
    terms = [grouping.values[place].term for grouping, place in zip(groupings, cell.place, strict=True)]
    narrowing = [] if not sliced.asked.where else _where_terms(sliced)
    if None in terms or None in narrowing:
        return None
    examples = _examples_term(sliced, cell)
    if examples is None:
        return None
    own = [
        _arms_term(sliced.snapshot, cell.arms),
        *narrowing,
        *terms,
        outcomes_term(sliced.asked.unscored),
        examples,
    ]
    query = " ".join(dict.fromkeys(term for term in own if term))
    return query if len(query) <= LONGEST_QUERY else None


def _arms_term(snapshot: Snapshot, arms: Sequence[int]) -> str:
    return "" if len(arms) == len(snapshot.arms) else f"arm:{','.join(map(str, arms))}"


def _where_terms(sliced: Sliced) -> list[str | None]:
    known = dimensions(sliced.snapshot)
    frame = sliced.frame
    terms: list[str | None] = []
    for name in dict.fromkeys(name for name, _ in sliced.asked.where):
        found = grouped(sliced.snapshot, known[name], frame=frame, bins=sliced.asked.bins)
        if known[name].level is not Level.ARM:
            terms += [found.values[0].term] if len(found.values) == 1 else [None]
    return terms


def _examples_term(sliced: Sliced, cell: Cell) -> str | None:
    """Returns the filter for the cell's examples that all arms finished, if it has others; None if there
    is none.
    """
    left = cell.left_out
    scored = cell.total - left.unscored - left.cancelled - left.unfinished
    if sliced.asked.unscored is not Unscored.COMMON or scored == cell.counted:
        return ""
    number = next(at for at, each in enumerate(sliced.pieces.cells) if each is cell)
    kept, whole = sliced.pieces.frame, sliced.frame
    return examples_term(kept.where(kept["cell"] == number), whole=whole.where(np.isin(whole["arm"], cell.arms)))
