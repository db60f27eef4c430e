"""The client of OpenAI-compatible chat completion servers.

It retries on 408, 409, 429 and 5xx (as the status or inside a 200), timeouts, broken connections, and responses
that are not completions. It waits with exponential backoff and full jitter, or as long as `Retry-After` says. Each
retry is stored on the turn.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ..cancellation import CancellationToken
from ..errors import CallAborted, ModelFailure, Tries
from ..events import FailedTry
from .base import Completion, Messages, ToolSchemas, Watcher
from .error_reading import Sent, TransientFailure, failure_inside, failure_of, is_page, no_completion
from .event_stream import BrokenStream, StreamedCompletion
from .gate import Outcome, Report, ServerGate
from .message_log import body_of
from .parsing import parse_completion
from .request_shape import RequestShape
from .thinking import ThinkTags
from .token_count import prompt_tokens, with_estimates
from .token_estimates import estimator
from .transport import Aborted, Transport, TransportError

USER_AGENT = "rlm-runs"
_OF_OPENAI = {"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"}
"""Environment variable → header, as OpenAI's own client sends them."""

_KEPT_TRIES = 50
"""The number of failed tries that a call keeps, the latest ones. An endpoint may be down and retried for hours."""


@dataclass(frozen=True)
class RetryPolicy:
    """The retries of a call. `tries` counts all tries; waits double from `first_wait` up to `longest_wait`
    seconds.
    """

    tries: int = 6
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_retry_after: float = 120.0

    def wait_before(self, retry: int, *, retry_after: float | None) -> float:
        """Seconds to wait before retry number `retry`, from 0."""
        if retry_after is not None:
            return min(retry_after, self.longest_retry_after)
        # Full jitter spreads retries, so that rollouts that failed together do not retry together.
        return random.uniform(0, min(self.longest_wait, self.first_wait * 2 ** min(retry, 30)))


@dataclass(frozen=True)
class Reading:
    """The settings for reading a model's answers. `window` is the context window in tokens, None if unknown.

    `think_tags` says whether reasoning between tags is removed from the content. With `checks_prompts`, a server
    whose prompt count is far below our own count is taken to have truncated the prompt.
    """

    window: int | None = None
    think_tags: ThinkTags = "auto"
    checks_prompts: bool = True


@dataclass(frozen=True)
class _Call:
    """The request that each try of a call sends, and its observers. `tokens` is the estimated number of tokens."""

    body: Sequence[bytes | bytearray]
    sent: Sent
    tokens: int
    control: CancellationToken
    watcher: Watcher | None


class ChatClient:
    """A client of one endpoint. `timeout` is the limit of a single try, in seconds. Each try passes all `gates`.

    At most `connections` calls are in flight; further calls wait for a connection.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        timeout: float = 600.0,
        retry: RetryPolicy | None = None,
        shape: RequestShape | None = None,
        gates: Sequence[ServerGate] = (),
        connections: int = 1000,
        reading: Reading = Reading(),
    ) -> None:
        self._reading = reading
        self._retry = retry or RetryPolicy()
        self._shape = shape or RequestShape()
        self._gates = gates
        self._transport = Transport(base_url, timeout=timeout, connections=connections)
        self._headers = _headers(api_key)

    def complete(
        self,
        *,
        model: str,
        messages: Messages,
        tools: ToolSchemas = (),
        sampling: Mapping[str, Any],
        control: CancellationToken,
        watcher: Watcher | None = None,
    ) -> Completion:
        """See `ModelClient`."""
        tries, began = Tries(), time.monotonic()
        expected = estimator(model).estimate(messages, tools, sampling)
        tokens = (expected.prompt or 0) + (expected.completion or 0)
        try:
            sent = Sent(self._reading.window, partial(prompt_tokens, messages))
            call = _Call(self._body(model, messages, tools, sampling), sent, tokens, control, watcher)
            completion = self._complete_with_retries(call, tries=tries)
        except (ModelFailure, CallAborted) as failure:
            tries.seconds = time.monotonic() - began
            failure.tries = tries
            raise
        estimator(model).learn(messages, tools, completion.usage)
        return replace(
            completion,
            usage=with_estimates(completion, messages, checks_prompt=self._reading.checks_prompts),
            seconds=time.monotonic() - began,
            retries=tries.retries,
            retry_seconds=tries.retry_seconds,
            failed_tries=tuple(tries.failed),
        )

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def _body(
        self, model: str, messages: Messages, tools: ToolSchemas, sampling: Mapping[str, Any]
    ) -> Sequence[bytes | bytearray]:
        shaped = self._shape.shaped(sampling)
        extra_body = shaped.pop("extra_body", {})
        parameters = {"model": model, **shaped} | ({"tools": list(tools)} if tools else {}) | extra_body
        try:
            return body_of(parameters, messages)
        except (TypeError, ValueError) as error:
            raise ModelFailure(f"the request could not be made: {error}") from error

    def _complete_with_retries(self, call: _Call, *, tries: Tries) -> Completion:
        first_fault_at: float | None = None
        while True:
            call.control.check()
            began = tried_at = time.monotonic()
            try:
                with self._through_gates(call) as report:
                    began = tried_at = self._add_wait(tries, since=began)
                    return self._try_and_report(call, report)
            except (TransientFailure, ModelFailure) as problem:
                tries.failed.append(_failed_try(problem, seconds=time.monotonic() - tried_at))
                if problem.endpoint_fault and first_fault_at is None:
                    first_fault_at = began
                if not (problem.endpoint_fault and self._is_away(first_fault_at)):
                    self._give_up_if_final(problem, tries)
                retry_after = problem.retry_after if isinstance(problem, TransientFailure) else None
                wait = self._retry.wait_before(tries.retries, retry_after=retry_after)
                tries.failed[-1] = replace(tries.failed[-1], waited=wait)
                del tries.failed[:-_KEPT_TRIES]
                call.control.wait(wait)
                tries.retries += 1
                tries.retry_seconds += time.monotonic() - began

    def _give_up_if_final(self, problem: TransientFailure | ModelFailure, tries: Tries) -> None:
        """Raises the call's failure if it is final or no try is left."""
        if isinstance(problem, ModelFailure):
            raise problem
        if tries.retries + 1 >= self._retry.tries:
            failure = problem.failure(f"{problem} (tried {tries.retries + 1} times)")
            failure.cost = problem.cost
            raise failure from problem

    def _is_away(self, since: float | None) -> bool:
        """Returns whether the endpoint fails all calls. The call then waits instead of failing."""
        return since is not None and any(gate.fails_since(since) for gate in self._gates)

    def _try_and_report(self, call: _Call, report: Report) -> Completion:
        try:
            completion = self._try(call)
        except (TransientFailure, ModelFailure) as problem:
            retry_after = problem.retry_after if isinstance(problem, TransientFailure) else None
            report(Outcome(retry_after=retry_after, fault=str(problem) if problem.endpoint_fault else ""))
            raise
        report(Outcome(usage=completion.usage))
        return completion

    @contextmanager
    def _through_gates(self, call: _Call) -> Iterator[Report]:
        with ExitStack() as stack:
            gates = [gate.passed(call.control, tokens=call.tokens) for gate in self._gates]
            reports = [stack.enter_context(gate) for gate in gates]

            def report(outcome: Outcome) -> None:
                for each in reports:
                    each(outcome)

            yield report

    def _add_wait(self, tries: Tries, *, since: float) -> float:
        """Adds the time spent waiting at the gates to `retry_seconds`, and returns the current time."""
        now = time.monotonic()
        if self._gates:
            tries.retry_seconds += now - since
        return now

    def _try(self, call: _Call) -> Completion:
        """Sends one request. Raises a final ModelFailure, TransientFailure or CallAborted."""
        streamed = StreamedCompletion(call.watcher)
        try:
            with self._transport.post(
                "/chat/completions", call.body, headers=self._headers, control=call.control
            ) as answer:
                if answer.is_stream:
                    streamed.read(answer.pieces())
                else:
                    raw = answer.read()
        except Aborted as aborted:
            raise CallAborted(stop_reason=call.control.reason, sent=aborted.sent) from aborted
        except BrokenStream as error:
            raise no_completion(f"the endpoint's stream broke: {error}") from error
        except TransportError as error:
            raise _failure_of_transport(error, server=self._transport.server) from error
        except ValueError as error:  # an invalid header or address
            raise ModelFailure(f"the request could not be made: {error}") from error
        tags = self._reading.think_tags
        if answer.is_stream:
            body = streamed.body()
            return streamed.timed(completion_in(body, answer.headers, sent=call.sent, think_tags=tags))
        if answer.status >= 300:
            raise failure_of(answer.status, answer.headers, raw, sent=call.sent)
        return completion_of(raw, answer.headers, sent=call.sent, think_tags=tags)


def completion_of(
    raw: bytes, headers: Mapping[str, str], *, sent: Sent, think_tags: ThinkTags = "auto"
) -> Completion:
    """Returns the completion in a body of HTTP 200.

    Raises TransientFailure if it has none, or the failure that its error means.
    """
    text = raw.decode("utf-8", "replace")
    if not text.strip():
        raise no_completion("the endpoint's answer is empty")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "not JSON but a page" if is_page(text) else "not JSON"
        raise no_completion(f"the endpoint's answer is {what}", text) from error
    return completion_in(body, headers, sent=sent, think_tags=think_tags)


def completion_in(
    body: Any, headers: Mapping[str, str], *, sent: Sent, think_tags: ThinkTags = "auto"
) -> Completion:
    """Returns the completion in a decoded body. Raises like `completion_of`."""
    if failure := failure_inside(body, headers, sent=sent):
        raise failure
    return parse_completion(body, think_tags=think_tags)


def _failed_try(problem: TransientFailure | ModelFailure, *, seconds: float) -> FailedTry:
    """Returns the record of a failed try."""
    return FailedTry(
        at=datetime.now(UTC), seconds=seconds, waited=0.0, status=problem.status, message=str(problem)[:500]
    )


def _headers(api_key: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": USER_AGENT}
    if api_key:  # a self-hosted server may need none
        headers["Authorization"] = f"Bearer {api_key}"
    return headers | {header: os.environ[name] for name, header in _OF_OPENAI.items() if os.environ.get(name)}


def _failure_of_transport(error: TransportError, *, server: str) -> TransientFailure:
    if not error.sent:
        return TransientFailure(f"{server} cannot be reached: {error}")
    if error.timed_out:
        return TransientFailure("the endpoint did not answer in time", cost=None)
    return TransientFailure(f"the connection to the endpoint broke: {error}", cost=None)
