"""The context window of a conversation, turn by turn: what filled the prompt of each model call.

A prompt's tokens are the server's count. The sizes of its parts are known in characters; each part gets its
proportional share of the tokens. Folds and compactions of a scaffold appear as a smaller prompt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ...models import Execution, Text, Trajectory

PARTS = ("system", "prompt", "outputs", "own")
"""System prompt; user messages of the task and the host; outputs of cells and tools; the model's own text."""


@dataclass(frozen=True)
class WindowTurn:
    """One model call. `chars` and `tokens` are by part; `tokens` is None if the server reported none."""

    pk: int
    number: int
    chars: Mapping[str, int]
    prompt_tokens: int | None
    completion_tokens: int | None
    is_failed: bool

    @property
    def tokens(self) -> Mapping[str, float] | None:
        """Part → its tokens in the prompt; None if unknown."""
        total = sum(self.chars.values())
        if self.prompt_tokens is None or not total:
            return None
        return {part: self.prompt_tokens * chars / total for part, chars in self.chars.items()}


def read(trajectory: Trajectory) -> tuple[WindowTurn, ...]:
    """Returns the model calls of a conversation. Three queries, which read no text."""
    turns = list(trajectory.turns.order_by("index"))
    executions: dict[int, list[Execution]] = defaultdict(list)
    rows = Execution.objects.filter(turn__trajectory=trajectory).only("turn", "arguments", "shown")
    for row in rows.order_by("turn__index", "position"):
        executions[row.turn_id].append(row)
    digests = {message["text"] for message in trajectory.opening}
    for turn in turns:
        digests |= {turn.content_id, turn.reply_id}
    for row in (row for of_turn in executions.values() for row in of_turn):
        digests |= {row.arguments_id, row.shown_id}
    chars = dict(Text.objects.filter(sha256__in=digests - {None}).values_list("sha256", "chars"))

    filled = dict.fromkeys(PARTS, 0)
    for message in trajectory.opening:
        filled["system" if message["role"] == "system" else "prompt"] += chars.get(message["text"], 0)
    found = []
    for turn in turns:
        found.append(
            WindowTurn(
                turn.pk, turn.index + 1, {**filled}, turn.prompt_tokens, turn.completion_tokens, bool(turn.error)
            )
        )
        if turn.error:  # a failed call leaves nothing in the conversation
            continue
        filled["own"] += chars.get(turn.content_id, 0)
        for row in executions[turn.pk]:
            filled["own"] += chars.get(row.arguments_id, 0)
            filled["outputs"] += chars.get(row.shown_id or "", 0)
        filled["prompt"] += chars.get(turn.reply_id or "", 0)
    return tuple(found)
