"""The client of probes: that of rollouts, but with fewer tries and outside the limits that workers share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from ..engine.clients.base import ModelClient
from ..engine.clients.chat import ChatClient, RetryPolicy
from ..engine.clients.request_shape import RequestShape
from ..engine.clients.text_tools import TextToolsClient
from .endpoints import ModelChoice


@contextmanager
def probe_client(choice: ModelChoice, *, tries: int = 2, seconds: float = 120.0) -> Iterator[ModelClient]:
    """Provides a client of one model for the duration of the block. `seconds` is the limit of a try."""
    calls = choice.calls
    client = ChatClient(
        base_url=choice.endpoint.url,
        api_key=choice.endpoint.key,
        timeout=seconds,
        retry=RetryPolicy(tries=tries),
        shape=RequestShape(
            calls.request, calls.extra_body, calls.max_tokens_parameter or "", stream=bool(calls.stream)
        ),
        connections=4,
    )
    with closing(client):
        yield TextToolsClient(client) if calls.tools == "text" else client
