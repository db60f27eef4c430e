"""URLs of rollout lists that predate the filter language. Each filter is converted to its term."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import QueryDict

from rlm_runs.analysis.filters import text
from rlm_runs.analysis.filters.language import term

_NAMES = {
    "environment": "env",
    "scaffold": "scaffold",
    "model": "model",
    "stop": "stop",
    "arm": "arm",
    "example": "example",
}
_STATES = {
    "failed": "status:failed -stop:prompt_too_long",
    "too_long": "stop:prompt_too_long",
    "unscored": "status:failed reward:none",
    "unfinished": "status:queued,running",
}
_LIMITS = {"reward_from": "reward:>=", "reward_to": "reward:<="}
_SORTS = {"subs": "subcalls"}


def current_query(given: QueryDict) -> str | None:
    """Returns the current form of a former query string; None if it is current. Columns become one list."""
    parts = given.copy()
    terms = [str(parts["q"])] if parts.get("q") else []
    for old in (*_NAMES, "status", *_LIMITS):
        for value in parts.pop(old, []):
            if value.strip():
                terms.append(_term_of(old, value.strip()))
    sort = parts.get("sort", "")
    if sort.removeprefix("-") in _SORTS:
        parts["sort"] = sort.replace(sort.removeprefix("-"), _SORTS[sort.removeprefix("-")])
    columns = [str(column).strip() for column in parts.getlist("columns")]
    if len(columns) > 1:
        parts["columns"] = ",".join(filter(None, columns))
    if terms:
        parts["q"] = " ".join(terms)
    return None if parts == given else urlencode({name: value for name, value in parts.items() if value})


def _term_of(old: str, value: str) -> str:
    if old == "status" and value in _STATES:
        return _STATES[value]
    if old in _LIMITS:
        return (
            f"{_LIMITS[old]}{value}" if value.isprintable() and " " not in value else text([term("reward", value)])
        )
    if old in ("arm", "example") and value.isascii() and value.isdecimal():
        return f"{old}:{value}"
    return text([term(_NAMES.get(old, old), value)])
