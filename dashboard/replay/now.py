"""The live state of a running rollout: its model's text and its cell's output so far."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from rlm_runs.models import LiveView, Rollout
from rlm_runs.models.texts import unescape

from ..query_params import rollout_or_404

_SHOWN = 4_000
"""The number of characters shown of each text, from its end."""
_CODE = re.compile(r'(?:^|\})\s*\{\s*"code"\s*:\s*"')
_STRING = re.compile(r'(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*', re.DOTALL)
"""Matches a JSON string up to its end, or to an escape that has not fully arrived."""


@require_safe
def rollout_now(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows the panel after the last turn. When a turn or a cell ends, the page reloads its other parts."""
    found = rollout_or_404(pk)
    state = LiveView.objects.watch(found)
    step = step_of(state)
    context = {
        "rollout": found,
        "step": step,
        "turn": _turn(state["turn"]) if "turn" in state else None,
        "cell": _cell(state["cell"]) if "cell" in state else None,
        "is_live": found.status in (Rollout.Status.QUEUED, Rollout.Status.RUNNING),
    }
    response = render(request, "dashboard/replay/_now.html", context)
    if request.GET.get("step", step) != step:
        response.headers["HX-Trigger"] = "rollout-moved"
    return response


def step_of(state: Mapping[str, Any]) -> str:
    """Returns an identifier of the current turn and cell. It changes when one of them ends."""
    turn, cell = state.get("turn"), state.get("cell")
    return f"{turn['kind']}-{turn['index']}" if turn else f"cell-{cell['key']}" if cell else ""


def _turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    arguments = _text(turn, "arguments")
    return {
        **{name: turn[name] for name in ("kind", "seconds")},
        "number": turn["index"] + 1,
        "content": _text(turn, "content")[-_SHOWN:],
        "reasoning": _text(turn, "reasoning")[-_SHOWN:],
        "code": code_so_far(arguments)[-_SHOWN:],
        "chars": sum(turn[name]["chars"] for name in ("content", "reasoning", "arguments") if name in turn),
    }


def _cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: cell[name] for name in ("seconds", "calls", "answered")},
        "output": _text(cell, "output")[-_SHOWN:],
        "chars": cell["output"]["chars"],
    }


def _text(state: Mapping[str, Any], name: str) -> str:
    return unescape(state[name]["end"]) if name in state else ""


def code_so_far(arguments: str) -> str:
    """Returns the source in the arguments of an unfinished call; other arguments as they are."""
    begins = [found.end() for found in _CODE.finditer(arguments)]
    if not begins:
        return arguments
    found = _STRING.match(arguments, begins[-1])
    assert found
    try:
        return str(json.loads(f'"{found[0]}"', strict=False))
    except ValueError:
        return found[0]
