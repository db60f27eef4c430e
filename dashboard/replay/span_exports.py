"""Spans in the formats of speedscope and Perfetto (Chrome's trace events)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlm_runs.analysis.replay.spans import Span, SpanTree, own_seconds


def speedscope(tree: SpanTree, *, name: str) -> dict[str, Any]:
    """Returns a flame graph for https://www.speedscope.app: one sample per span, whose stack is weighted by its
    own seconds.
    """
    frames: dict[str, int] = {}
    stacks: list[list[int]] = []
    samples: list[list[int]] = []
    weights: list[float] = []
    for span, own in zip(tree.spans, own_seconds(tree), strict=True):
        frame = frames.setdefault(_frame(span), len(frames))
        stack = [*(stacks[span.parent] if span.parent is not None else []), frame]
        stacks.append(stack)
        if own > 0:
            samples.append(stack)
            weights.append(own)
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": "rlm-runs",
        "name": name,
        "shared": {"frames": [{"name": frame} for frame in frames]},
        "profiles": [
            {
                "type": "sampled",
                "name": name,
                "unit": "seconds",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": samples,
                "weights": weights,
            }
        ],
    }


def _frame(span: Span) -> str:
    return f"turn {span.turn}" if span.kind == "turn" and span.parent == 0 else span.label


def perfetto(tree: SpanTree, *, name: str) -> dict[str, Any]:
    """Returns a timeline for https://ui.perfetto.dev: complete events in microseconds, a thread per lane."""
    placed = lanes(tree.spans)
    names = list(dict.fromkeys(placed.values()))
    return {
        "displayTimeUnit": "ms",
        "otherData": {"name": name, "began": tree.began.isoformat()},
        "traceEvents": [
            *(
                {"ph": "M", "name": "thread_name", "pid": 1, "tid": number, "args": {"name": lane}}
                for number, lane in enumerate(names, start=1)
            ),
            *(
                _event(span, tid=names.index(placed[index]) + 1)
                for index, span in enumerate(tree.spans)
                if index in placed
            ),
        ],
    }


def _event(span: Span, *, tid: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": span.label,
        "cat": span.kind,
        "pid": 1,
        "tid": tid,
        "ts": round(1e6 * span.start),
        "dur": round(1e6 * span.seconds),
        "args": {
            "turn": span.turn,
            "tokens": span.tokens,
            "dollars": None if span.dollars is None else float(span.dollars),
            "failed": span.is_failed,
        },
    }


_LANES = {"model": "root model", "cell": "cells", "tool": "tools", "judge": "judge", "sub_call": "sub-LLM"}


def lanes(found: Sequence[Span]) -> dict[int, str]:
    """Returns a map of index → lane for the spans of a timeline. Overlapping sub-calls get separate lanes."""
    placed: dict[int, str] = {}
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    lanes_made = 0
    for index, span in sorted(enumerate(found), key=lambda pair: pair[1].start):
        if span.kind != "sub_call":
            if span.kind in _LANES and _is_of_root(found, span):
                placed[index] = _LANES[span.kind]
            continue
        while busy and busy[0][0] <= span.start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lanes_made += 1
            lane = lanes_made
        heapq.heappush(busy, (span.end, lane))
        placed[index] = f"{_LANES['sub_call']} {lane}"
    return placed


def _is_of_root(found: Sequence[Span], span: Span) -> bool:
    """Returns whether no sub-call is above the span."""
    parent = span.parent
    while parent is not None:
        if found[parent].kind == "sub_call":
            return False
        parent = found[parent].parent
    return True


FORMS: Mapping[str, Callable[..., dict[str, Any]]] = {"speedscope": speedscope, "perfetto": perfetto}
"""Formats that `as` names in the URL."""
