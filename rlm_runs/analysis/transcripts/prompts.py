"""Prompts of model calls, derived from the trace. No prompt is stored twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from ...models import Execution, Text, Turn
from ...models.texts import unescape


def prompt_of(turn: Turn) -> list[dict[str, Any]]:
    """Returns the messages of a turn's model call, derived from the trace. Three queries.

    They are the trajectory's opening, then each earlier turn's completion with its tool calls, their results, and
    the host's reply if there was one. A call that ended in an error left nothing in the conversation.
    """
    trajectory = turn.trajectory
    earlier = list(trajectory.turns.filter(index__lt=turn.index, error="").order_by("index"))
    executions: dict[int, list[Execution]] = defaultdict(list)
    for execution in Execution.objects.filter(turn__in=earlier).order_by("turn__index", "position"):
        executions[execution.turn_id].append(execution)
    digests = {message["text"] for message in trajectory.opening}
    for past in earlier:
        digests |= {past.content_id, past.reply_id}
    for row in chain.from_iterable(executions.values()):
        digests |= {row.arguments_id, row.shown_id}
    texts = Text.objects.read(key for key in digests if key)
    messages: list[dict[str, Any]] = [
        {"role": message["role"], "content": texts[message["text"]]} for message in trajectory.opening
    ]
    for past in earlier:
        messages += _messages_of(past, executions.get(past.pk, ()), texts)
    return messages


def _messages_of(
    turn: Turn, executions: Sequence[Execution], texts: Mapping[str, str]
) -> Iterable[dict[str, Any]]:
    said: dict[str, Any] = {"role": "assistant", "content": texts[turn.content_id]}
    if executions:
        said["tool_calls"] = [_tool_call(row, texts) for row in executions]
    yield said
    for row in executions:
        yield {
            "role": "tool",
            "tool_call_id": unescape(row.call_id),
            "content": texts[row.shown_id] if row.shown_id else "",
        }
    if turn.reply_id:
        yield {"role": "user", "content": texts[turn.reply_id]}


def _tool_call(row: Execution, texts: Mapping[str, str]) -> dict[str, Any]:
    function = {"name": unescape(row.name), "arguments": texts[row.arguments_id]}
    return {"id": unescape(row.call_id), "type": "function", "function": function}
