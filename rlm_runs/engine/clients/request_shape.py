"""Server-specific parts of each request: extra parameters, and the server's name for the token limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_LIMITS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class RequestShape:
    """Parameters of every request, which the sampling of an experiment overrides by name.

    `extra_body` is added to the body as it is, such as provider pinning. `max_tokens_parameter` is the server's
    name for the limit of a completion, "" to keep the experiment's name. `stream` is the default for streaming,
    where the sampling does not set it.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    max_tokens_parameter: str = ""
    stream: bool = False

    def shaped(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the sampling as it is sent."""
        shaped = {**self.parameters, **sampling}
        extra_body = {**self.extra_body, **(sampling.get("extra_body") or {})}
        if extra_body:
            shaped["extra_body"] = extra_body
        limits = [shaped.pop(name) for name in _LIMITS if name in shaped] if self.max_tokens_parameter else []
        if limits:
            shaped[self.max_tokens_parameter] = min(limits)
        if shaped.pop("stream", self.stream):
            shaped = {"stream": True, "stream_options": {"include_usage": True}} | shaped
        return shaped
