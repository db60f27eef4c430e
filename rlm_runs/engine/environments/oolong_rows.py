"""Oolong's published columns, from a local file or the hub: the datasets, and the conversion of rows to
examples.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .base import Example
from .hub import sample_hub
from .local_files import Row, read_rows, sample
from .oolong_scoring import final_answer, official_score

SPLIT = "test"
INSTEAD = 'Set `subset` to "generated", which needs no network, or to "local" with a file as `path`.'


@dataclass(frozen=True)
class Published:
    """A subset as published. `context` is the column that holds the input data."""

    dataset: str
    config: str | None
    context: str


PUBLISHED = {
    "synth": Published("oolongbench/oolong-synth", None, "context_window_text"),
    "synth_with_labels": Published("oolongbench/oolong-synth", None, "context_window_text_with_labels"),
    "real": Published("oolongbench/oolong-real", "dnd", "context_window_text"),
}
ANSWER_TYPES = {
    "NUMERIC": "number", "LABEL": "label", "USER": "user", "DATE": "date", "MONTH_YEAR": "month",
    "COMPARISON": "comparison", "LIST": "list",
}  # fmt: skip


def from_hub(subset: str, *, n: int, seed: int) -> list[Example]:
    """Returns `n` rows of a published subset as examples. They are drawn at random, because the datasets are
    sorted by length.
    """
    known = PUBLISHED[subset]
    rows = sample_hub(known.dataset, config=known.config, split=SPLIT, n=n, seed=seed, instead=INSTEAD)
    return [example_of(row, context=known.context, subset=subset) for row in rows]


def from_file(path: str, *, labels: bool, n: int, seed: int) -> list[Example]:
    """Returns `n` rows of a local file as examples."""
    rows: Sequence[Row] = sample(read_rows(path), n=n, seed=seed, source=path)
    subset = "local_with_labels" if labels else "local"
    context = PUBLISHED["synth_with_labels" if labels else "synth"].context
    return [example_of(row, context=context, subset=subset) for row in rows]


def example_of(row: Row, *, context: str, subset: str) -> Example:
    """Returns a row as an example. Its question already states the form of the answer."""
    text = row.text(context)
    answer = _gold(row.text("answer"))
    kind = str(row.columns.get("answer_type", "")).removeprefix("ANSWER_TYPE.")
    answer_type = _answer_type(row, answer, kind=kind)
    metadata = {
        "context_length": len(text),
        "subset": subset,
        "kind": str(row.columns.get("task") or row.columns.get("question_type") or kind),
        "answer_type": answer_type,
        "topic": str(row.columns.get("dataset", "")),
    }
    return Example(prompt=row.text("question"), answer=answer, input_data=text, metadata=metadata)


def _answer_type(row: Row, answer: str, *, kind: str) -> str:
    """Returns the rule that scores answers, one by which the gold answer itself scores 1."""
    answer_type = ANSWER_TYPES.get(kind) or _guessed_type(answer)
    problem = ""
    if not final_answer(answer):
        raise row.error("has an empty gold answer in its column 'answer'")
    if answer_type == "number" and _guessed_type(answer) != "number":
        problem = f"has a gold answer that is no number, though its answer_type is {kind}: {answer[:200]!r}"
    elif official_score(answer, gold=answer, answer_type=answer_type) != 1:
        problem = f"has a gold answer that its answer_type {kind or answer_type} cannot be: {answer[:200]!r}"
    if problem and row.unit == "row":
        return "text"  # a row of the hub cannot be corrected; the answer must match as text
    if problem:
        raise row.error(problem)
    return answer_type


def _gold(written: str) -> str:
    """Returns the gold answer. The column holds a printed Python list, possibly of dates, or plain text."""
    dates = re.sub(r"datetime\.date\((\d+), *(\d+), *(\d+)\)", r"'\1-\2-\3'", written)
    try:
        value = ast.literal_eval(dates)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return written.strip()
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else written.strip()


def _guessed_type(answer: str) -> str:
    if re.fullmatch(r"-?\d+(\.\d+)?", answer):
        return "number"
    return "list" if "," in answer else "text"
