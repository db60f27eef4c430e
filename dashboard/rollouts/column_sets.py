"""Sets of columns for the most common questions about a list."""

from __future__ import annotations

from rlm_runs.models.review import REVIEW_COLUMNS

_WHO = ("id", "reward", "scaffold", "env", "example")
SETS = {
    "Outcome": (*_WHO, "status", "failure", "stop", "error", "model"),
    "Behaviour": (
        *_WHO,
        *("turns", "cells", "batches", "subcalls", "maxbatch", "parallel", "errors", "cuts", "timeouts"),
        *("firstanswer", "edits", "failure"),
    ),
    "Tokens": (
        *_WHO,
        *("mainprompt", "maincached", "maincompletion", "subprompt", "subcompletion", "tokens", "estimated"),
    ),
    "Cost": (*_WHO, "model", "submodel", "tokens", "cost", "providercost", "judgecost", "retries"),
    "Time": (*_WHO, "status", "seconds", "ttft", "tps", "retries", "started", "finished"),
    "Review": (*_WHO, "manual", "tags", "notes", "failure", "stop"),
}


def sets(*, with_experiment: bool, with_reviews: bool) -> list[tuple[str, str]]:
    """Returns the title of each set, and its columns as the query string has them."""
    return [
        (title, ",".join((*keys, "experiment") if with_experiment else keys))
        for title, keys in SETS.items()
        if with_reviews or not REVIEW_COLUMNS & set(keys)
    ]
