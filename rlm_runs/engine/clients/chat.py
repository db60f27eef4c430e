"""The client of OpenAI-compatible chat completion servers, over the openai SDK.

Retries are ours, not the SDK's, since each is kept on the turn: 408, 409, 429 and 5xx (as status or inside a 200),
timeouts, broken connections and answers that are no completion, with exponential backoff and full jitter, or as
long as `Retry-After` says.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import openai

from ..cancellation import CancellationToken
from ..errors import ModelFailure, Tries
from .base import Completion, Messages, ToolSchemas
from .error_reading import Passing, failure_inside, failure_of, is_html, no_completion
from .gate import Gate
from .parsing import parse_completion
from .request_shape import RequestShape


@dataclass(frozen=True)
class RetryPolicy:
    """`tries` in all; waits of up to `first_wait` seconds doubled each time, never over `longest_wait`."""

    tries: int = 6
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_retry_after: float = 120.0

    def wait_before(self, retry: int, *, retry_after: float | None) -> float:
        """Seconds to wait before retry number `retry`, from 0."""
        if retry_after is not None:
            return min(retry_after, self.longest_retry_after)
        # Full jitter: many rollouts that fail together must not come back together.
        return random.uniform(0, min(self.longest_wait, self.first_wait * 2**retry))


class ChatClient:
    """One endpoint. `timeout` is of a single try, in seconds; each try passes all `gates`.

    At most `connections` calls are in flight; further ones wait for a connection.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        timeout: float = 600.0,
        retry: RetryPolicy | None = None,
        shape: RequestShape | None = None,
        gates: Sequence[Gate] = (),
        connections: int = 1000,
    ) -> None:
        self._retry = retry or RetryPolicy()
        self._shape = shape or RequestShape()
        self._gates = gates
        # A server of one's own may need no key; the SDK wants one all the same.
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._sdk = openai.OpenAI(
            base_url=base_url,
            api_key=api_key or "none",
            timeout=timeout,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(limits=limits),
        )

    def complete(
        self,
        *,
        model: str,
        messages: Messages,
        tools: ToolSchemas = (),
        sampling: Mapping[str, Any],
        control: CancellationToken,
    ) -> Completion:
        """See `ModelClient`."""
        request = {"model": model, "messages": list(messages), **self._shape.shaped(sampling)}
        if tools:
            request["tools"] = list(tools)
        tries, began = Tries(), time.monotonic()
        try:
            completion = self._try_until_it_works(request, tries=tries, control=control)
        except ModelFailure as failure:
            tries.seconds = time.monotonic() - began
            failure.tries = tries
            raise
        return replace(
            completion,
            seconds=time.monotonic() - began,
            retries=tries.retries,
            retry_seconds=tries.retry_seconds,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._sdk.close()

    def _try_until_it_works(
        self, request: Mapping[str, Any], *, tries: Tries, control: CancellationToken
    ) -> Completion:
        while True:
            control.check()
            began = time.monotonic()
            try:
                with self._through_gates(control):
                    began = self._told_wait(tries, since=began)
                    return self._try(request)
            except Passing as problem:
                if tries.retries + 1 >= self._retry.tries:
                    failure = problem.failure(f"{problem} (tried {self._retry.tries} times)")
                    failure.cost = problem.cost
                    raise failure from problem
                control.wait(self._retry.wait_before(tries.retries, retry_after=problem.retry_after))
                tries.retries += 1
                tries.retry_seconds += time.monotonic() - began

    @contextmanager
    def _through_gates(self, control: CancellationToken) -> Iterator[None]:
        with ExitStack() as stack:
            for gate in self._gates:
                stack.enter_context(gate.passed(control))
            yield

    def _told_wait(self, tries: Tries, *, since: float) -> float:
        """Counts what the gates took as waiting; now."""
        now = time.monotonic()
        if self._gates:
            tries.retry_seconds += now - since
        return now

    def _try(self, request: Mapping[str, Any]) -> Completion:
        """One request. Raises a ModelFailure that is final, or Passing."""
        try:
            response = self._sdk.chat.completions.with_raw_response.create(**request).http_response
        except openai.APIStatusError as error:
            found = error.response
            raise failure_of(found.status_code, found.headers, found.content) from error
        except openai.APITimeoutError as error:
            raise Passing("the endpoint did not answer in time", cost=None) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise Passing(f"the endpoint cannot be reached: {cause}") from error
        except (openai.OpenAIError, TypeError, ValueError) as error:
            raise ModelFailure(f"the request could not be made: {error}") from error
        return completion_of(response.content, response.headers)


def completion_of(body: bytes, headers: Mapping[str, str]) -> Completion:
    """The completion in a body of HTTP 200. Raises Passing where there is none, or what its error means."""
    text = body.decode("utf-8", "replace")
    if not text.strip():
        raise no_completion("the endpoint's answer is empty")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "a page" if is_html(text) else "not JSON"
        raise no_completion(f"the endpoint's answer is {what}", text[:500]) from error
    if failure := failure_inside(found, headers):
        raise failure
    return parse_completion(found)
