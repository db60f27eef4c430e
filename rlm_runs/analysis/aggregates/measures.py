"""Measures: numbers of a rollout that can be plotted and tested, each read from a column or a metric.

An environment's metrics are measures too, as `metric.<name>`. NULL means unknown, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass

_METRIC = "metric."


@dataclass(frozen=True)
class Measure:
    """One number of a rollout. `sql` reads it from the row `r`; `higher_is_better` is None if that depends."""

    name: str
    title: str
    unit: str
    sql: str
    higher_is_better: bool | None = None

    @property
    def axis(self) -> str:
        """The title with its unit, for an axis."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


def _column(name: str, title: str, unit: str, *, higher_is_better: bool | None = None) -> Measure:
    return Measure(name, title, unit, f"r.{name}", higher_is_better)


MEASURES = {
    measure.name: measure
    for measure in (
        _column("reward", "reward", "", higher_is_better=True),
        _column("main_prompt_tokens", "main prompt tokens", "tokens", higher_is_better=False),
        _column("main_completion_tokens", "main completion tokens", "tokens", higher_is_better=False),
        _column("main_cached_tokens", "main cached prompt tokens", "tokens"),
        _column("main_reasoning_tokens", "main reasoning tokens", "tokens"),
        Measure(
            "main_tokens",
            "main-model tokens",
            "tokens",
            "r.main_prompt_tokens + r.main_completion_tokens",
            higher_is_better=False,
        ),
        _column("sub_prompt_tokens", "sub-LLM prompt tokens", "tokens", higher_is_better=False),
        _column("sub_completion_tokens", "sub-LLM completion tokens", "tokens", higher_is_better=False),
        Measure(
            "sub_tokens",
            "sub-LLM tokens",
            "tokens",
            "r.sub_prompt_tokens + r.sub_completion_tokens",
            higher_is_better=False,
        ),
        Measure(
            "tokens",
            "tokens, main and sub",
            "tokens",
            "r.main_prompt_tokens + r.main_completion_tokens + r.sub_prompt_tokens + r.sub_completion_tokens",
            higher_is_better=False,
        ),
        _column("cost", "cost", "$", higher_is_better=False),
        _column("judge_cost", "cost of judging", "$", higher_is_better=False),
        _column("seconds", "time per rollout", "s", higher_is_better=False),
        _column("model_seconds", "time of the root model", "s", higher_is_better=False),
        _column("retry_seconds", "time of retries", "s", higher_is_better=False),
        _column("cell_seconds", "time of cells", "s", higher_is_better=False),
        _column("sub_seconds", "time of sub-LLMs", "s", higher_is_better=False),
        _column("tool_seconds", "time of tools", "s", higher_is_better=False),
        _column("first_token_seconds", "time to the first token", "s", higher_is_better=False),
        _column("tokens_per_second", "tokens per second", "tokens/s", higher_is_better=True),
        _column("turns", "root turns", ""),
        _column("cells", "REPL cells", ""),
        _column("tool_calls", "tool calls", ""),
        _column("batches", "batches", ""),
        _column("sub_calls", "sub-LLM calls", ""),
        _column("sub_turns", "sub-LLM turns", ""),
        _column("max_batch", "largest batch", "calls"),
        _column("max_parallel", "sub-LLM calls at once", "calls"),
        _column("cell_errors", "cells with an error", ""),
        _column("cells_cut", "cells whose output was cut", ""),
        _column("cells_timed_out", "cells that timed out", ""),
        _column("cells_repaired", "cells whose source was repaired", ""),
        _column("first_answer_turn", "turn of the first answer", ""),
        _column("answer_edits", "edits of the answer", ""),
        _column("retries", "retries", "", higher_is_better=False),
        _column("truncated_prompts", "truncated prompts", "calls", higher_is_better=False),
        _column("estimated_calls", "calls with estimated tokens", "calls"),
    )
}


def measure(name: str) -> Measure | None:
    """Returns the measure of this name; an environment's metric for `metric.<name>`; None for any other name."""
    if not name.startswith(_METRIC):
        return MEASURES.get(name)
    key = name.removeprefix(_METRIC)
    literal = quoted(key)
    # Metrics are stored as received; a value that is not a number is unknown.
    number = f"CASE WHEN jsonb_typeof(r.metrics -> {literal}) = 'number' THEN (r.metrics ->> {literal}) END"
    return Measure(name, key, "", number, higher_is_better=None) if key else None


def quoted(text: str) -> str:
    """Returns a text as an SQL literal for a statement with placeholders."""
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"
