"""The metrics of RLM runs as sums of a rollout. Eval files and metric tables use the same names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..engine.events import ReportedSums
from .numbers import count, number, tokens

_NAMES = {
    "turns": ("main_rlm_turns", "turns", "num_turns"),
    "main_prompt_tokens": ("main_rlm_prompt_tokens", "prompt_tokens"),
    "main_completion_tokens": ("main_rlm_completion_tokens", "completion_tokens"),
    "cells": ("repl_call_count",),
    "cell_seconds": ("repl_total_time_seconds",),
    "sub_calls": ("sub_llm_call_count",),
    "sub_turns": ("sub_llm_total_turns",),
    "sub_prompt_tokens": ("sub_llm_prompt_tokens",),
    "sub_completion_tokens": ("sub_llm_completion_tokens",),
    "batches": ("sub_llm_batch_count",),
    "max_batch": ("sub_llm_max_batch_size",),
}
"""Our columns → their names in files, the newer name first."""

SUB_TOOL_CALLS = "sub_llm_total_tool_calls"
TOOL_CALLS = "total_tool_calls"
SUMS = frozenset({name for names in _NAMES.values() for name in names} | {SUB_TOOL_CALLS})
"""Metrics that become columns of a rollout and are removed from its metrics."""
OF_RLM = frozenset(name for name in SUMS if name.startswith(("sub_llm_", "main_rlm_", "repl_")))
"""Metrics that only RLM runs have."""


def reported_sums(metrics: Mapping[str, Any]) -> ReportedSums:
    """Returns the sums among the metrics. Raises Malformed.

    Tool calls are not among them, because they depend on the scaffold.
    """
    return replace(ReportedSums(), **dict(_read_sums(metrics)))


def _read_sums(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for column, names in _NAMES.items():
        name = next((name for name in names if metrics.get(name) not in (None, "")), None)
        if name is not None:
            read = number if column.endswith("seconds") else tokens if column.endswith("tokens") else count
            yield column, read(metrics[name], name=name)
