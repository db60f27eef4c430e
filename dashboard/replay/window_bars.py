"""The bars of the context window: the parts of each prompt on one scale, with the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlm_runs.analysis.replay.context_window import WindowTurn
from rlm_runs.execution.endpoints import find_model


@dataclass(frozen=True)
class WindowBars:
    """The scale of a conversation's bars. `window` is the model's context window in tokens, None if unknown."""

    window: int | None
    largest: int
    scale: int

    @classmethod
    def of(cls, turns: Sequence[WindowTurn], *, model: str) -> WindowBars:
        """Returns the scale. A full bar is the largest prompt, or the window if a prompt comes near it."""
        served = find_model(model)
        window = served.window if served else None
        largest = max((turn.prompt_tokens or 0 for turn in turns), default=0)
        return cls(window, largest, max(largest, window or 0) if window and largest > window / 8 else largest)

    @property
    def limit_at(self) -> float | None:
        """The place of the limit, in percent of the bar; None if it is outside."""
        if self.window and self.scale and self.window <= self.scale:
            return 100 * self.window / self.scale
        return None

    def parts(self, turn: WindowTurn) -> list[dict[str, Any]]:
        """Returns the parts of a prompt, with their `width` in percent of the bar."""
        if not turn.tokens or not self.scale:
            return []
        return [
            {"name": name, "tokens": tokens, "width": 100 * tokens / self.scale}
            for name, tokens in turn.tokens.items()
        ]

    def filled(self, turn: WindowTurn) -> float | None:
        """Returns the percentage of the window that a prompt fills; None if the window is unknown."""
        return 100 * (turn.prompt_tokens or 0) / self.window if self.window else None
