"""A rollout as one HTML file that replays without a network. Texts, styles and script are inline.

Sub-calls are in `<template>` elements, which a browser parses but does not lay out. The file's own policy allows
its one script and its one style sheet by their hashes, and no requests at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.contrib.staticfiles import finders
from django.http import HttpRequest, StreamingHttpResponse
from django.template.loader import get_template
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.replay import variables
from rlm_runs.analysis.transcripts import DEFAULT_BOUNDS, Bounds
from rlm_runs.models import Rollout

from .. import scaffold_stylesheet
from ..permissions import sees_experiment
from ..query_params import rollout_or_404, whole_number
from .history import AttemptHistory

_STYLES = ("dashboard.css", "replay_sections.css", "replay_standalone.css")
_SCRIPT = "replay_standalone.js"
_TEMPLATES = "dashboard/replay/standalone"


@require_safe
def standalone(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Returns the file of one attempt as a download."""
    rollout = rollout_or_404(pk)
    last = AttemptHistory.of(rollout).last
    attempt = whole_number(request, "attempt", default=max(last, 1), most=max(last, 1))
    parts = document(rollout, attempt=attempt, names_experiment=sees_experiment(request))
    response = StreamingHttpResponse(parts, content_type="text/html; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name(rollout, attempt=attempt)}"'
    response["Content-Security-Policy"] = _policy()
    return response


def file_name(rollout: Rollout, *, attempt: int) -> str:
    """Returns the name of the file, with the attempt's number if it is not the last."""
    return f"rollout-{rollout.pk}{f'-attempt-{attempt}' if attempt < rollout.attempt else ''}.html"


def document(
    rollout: Rollout, *, attempt: int, bounds: Bounds = DEFAULT_BOUNDS, names_experiment: bool = True
) -> Iterator[str]:
    """Yields the file in parts, one sub-call at a time.

    With `names_experiment` false, for readers of a link to a rollout, it does not name the experiment.
    """
    example = rollout.example
    shown = AttemptHistory.of(rollout).shown(attempt)
    beside = [shown.answer_id, example.answer_id, example.prompt_id, example.input_data_id]
    digests = [digest for digest in beside if digest]
    trace = transcripts.read_whole(rollout, attempt=attempt, beside=digests, bounds=bounds)
    shared = {
        "rollout": shown,
        "attempt": attempt,
        "trace": trace,
        "texts": trace.texts,
        "variables": _variables(trace.root.row) if trace.root else {},
        "output_limit": rollout.arm.scaffold_settings.get("output_limit", 8192),
        "is_live": rollout.status in (Rollout.Status.QUEUED, Rollout.Status.RUNNING),
    }
    texts = {
        "given": trace.texts.get(shown.answer_id or ""),
        "gold": trace.texts.get(example.answer_id, transcripts.EMPTY),
        "prompt": trace.texts.get(example.prompt_id, transcripts.EMPTY),
        "input_data": trace.texts.get(example.input_data_id or ""),
    }
    head = {"names_experiment": names_experiment, "policy": _policy(), "style": _style(), "exported": now()}
    yield _rendered("start", {**shared, **texts, **head})
    for conversation in (*trace.calls, *trace.judges):
        prefix = f"call-{conversation.row.pk}-"
        yield _rendered("call", {**shared, "conversation": conversation, "prefix": prefix})
    yield _rendered("end", {"script": _script()})


def _rendered(name: str, context: dict[str, Any]) -> str:
    return get_template(f"{_TEMPLATES}/{name}.html").render(context)


def _variables(root: Any) -> dict[int, variables.CellVariables]:
    return {cell.execution: cell for cell in variables.read(root).cells}


def _policy() -> str:
    """Returns the policy of the file, as its `meta` element and as the header of the download."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(_script())}'",
            f"style-src '{_hash(_style())}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        )
    )


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


@cache
def _style() -> SafeString:
    return _inline("\n".join((*map(_static, _STYLES), scaffold_stylesheet.css())), end="</style")


@cache
def _script() -> SafeString:
    return _inline(_static(_SCRIPT), end="</script")


def _inline(content: str, *, end: str) -> SafeString:
    """Returns our own file as the content of an element. Raises ValueError if it would end the element."""
    if end in content.lower() or "<!--" in content:
        raise ValueError(f"{end} must not stand in a file that goes into a page")
    return mark_safe(content)


def _static(name: str) -> str:
    path = finders.find(f"dashboard/{name}")
    assert isinstance(path, str), name
    with open(path, encoding="utf-8") as file:
        return file.read()
