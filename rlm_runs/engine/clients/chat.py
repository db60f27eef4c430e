"""The client of OpenAI-compatible chat completion servers, over the openai SDK.

Retries are ours, not the SDK's, since each is kept on the turn: 408, 409, 429 and 5xx, timeouts and broken
connections, with exponential backoff and full jitter, or as long as `Retry-After` says.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai

from ..cancellation import CancellationToken
from ..errors import BadCompletion, ModelFailure, PromptTooLong, Tries
from .base import Completion, Messages, ToolSchemas
from .gate import Outcome, Report, ServerGate
from .parsing import parse_completion
from .request_shape import RequestShape
from .token_estimates import estimator

_TOO_LONG = (
    "context_length_exceeded",
    "maximum context length",
    "context window",
    "prompt is too long",
    "input is too long",
    "exceeds the limit of",
    "exceed context",
    "too many input tokens",
)
"""Words with which servers say that a prompt is longer than the window (code or message)."""


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
        return random.uniform(0, min(self.longest_wait, self.first_wait * 2 ** min(retry, 30)))


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
        gates: Sequence[ServerGate] = (),
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
        expected = estimator(model).estimate(messages, tools, sampling)
        tokens = (expected.prompt or 0) + (expected.completion or 0)
        try:
            completion = self._try_until_it_works(request, tokens=tokens, tries=tries, control=control)
        except ModelFailure as failure:
            tries.seconds = time.monotonic() - began
            failure.tries = tries
            raise
        estimator(model).learn(messages, tools, completion.usage)
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
        self, request: Mapping[str, Any], *, tokens: int, tries: Tries, control: CancellationToken
    ) -> Completion:
        first_fault_at: float | None = None
        while True:
            control.check()
            began = time.monotonic()
            try:
                with self._through_gates(control, tokens=tokens) as report:
                    began = self._told_wait(tries, since=began)
                    return self._reported_try(request, report)
            except (_Retryable, ModelFailure) as problem:
                if problem.endpoint_fault and first_fault_at is None:
                    first_fault_at = began
                # Where the endpoint answers nobody, it is no failure of this call: it waits until it answers
                # again.
                is_away = problem.endpoint_fault and self._is_away(first_fault_at)
                if isinstance(problem, ModelFailure):
                    if not is_away:
                        raise
                    retry_after = None
                elif tries.retries + 1 >= self._retry.tries and not is_away:
                    failure = ModelFailure(f"{problem} (tried {tries.retries + 1} times)")
                    failure.cost = problem.cost
                    raise failure from problem
                else:
                    retry_after = problem.retry_after
                control.wait(self._retry.wait_before(tries.retries, retry_after=retry_after))
                tries.retries += 1
                tries.retry_seconds += time.monotonic() - began

    def _is_away(self, since: float | None) -> bool:
        return since is not None and any(gate.fails_since(since) for gate in self._gates)

    def _reported_try(self, request: Mapping[str, Any], report: Report) -> Completion:
        try:
            completion = self._try(request)
        except (_Retryable, ModelFailure) as problem:
            fault = str(problem) if problem.endpoint_fault else ""
            report(Outcome(retry_after=getattr(problem, "retry_after", None), fault=fault))
            raise
        report(Outcome(usage=completion.usage))
        return completion

    @contextmanager
    def _through_gates(self, control: CancellationToken, *, tokens: int) -> Iterator[Report]:
        with ExitStack() as stack:
            reports = [stack.enter_context(gate.passed(control, tokens=tokens)) for gate in self._gates]

            def report(outcome: Outcome) -> None:
                for each in reports:
                    each(outcome)

            yield report

    def _told_wait(self, tries: Tries, *, since: float) -> float:
        """Counts what the gates took as waiting; now."""
        now = time.monotonic()
        if self._gates:
            tries.retry_seconds += now - since
        return now

    def _try(self, request: Mapping[str, Any]) -> Completion:
        """One request. Raises a ModelFailure that is final, or _Retryable."""
        try:
            response = self._sdk.chat.completions.with_raw_response.create(**request)
        except openai.APIStatusError as error:
            raise _failure_of_status(error) from error
        except openai.APITimeoutError as error:
            raise _Retryable("the endpoint did not answer in time", cost=None, endpoint_fault=True) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise _Retryable(f"the endpoint cannot be reached: {cause}", endpoint_fault=True) from error
        except (openai.OpenAIError, TypeError, ValueError) as error:
            raise ModelFailure(f"the request could not be made: {error}") from error
        try:
            body = response.http_response.json()
        except ValueError as error:
            raise BadCompletion(
                f"the endpoint's answer is not JSON: {response.http_response.text[:500]!r}"
            ) from error
        return parse_completion(body)


class _Retryable(Exception):
    """A failure that another try may mend. `retry_after` in seconds, as the server asked.

    `endpoint_fault` is as in `ModelFailure`.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        cost: Decimal | None = Decimal(0),
        endpoint_fault: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.cost = cost
        self.endpoint_fault = endpoint_fault


def _failure_of_status(error: openai.APIStatusError) -> Exception:
    status = error.status_code
    message = _api_message(error)
    told = f"HTTP {status}: {message}"
    code = str(error.code or "")
    if status in (400, 413, 422) and any(sign in f"{code} {message}".lower() for sign in _TOO_LONG):
        return PromptTooLong(told)
    # An exhausted quota is a 429 as well, but waiting does not help.
    no_quota = status == 429 and code == "insufficient_quota"
    if (status in (408, 409, 429) and not no_quota) or status >= 500:
        retry_after = _retry_after(error.response.headers.get("retry-after"))
        return _Retryable(told, retry_after=retry_after, endpoint_fault=status >= 500)
    failure = ModelFailure(told)
    failure.endpoint_fault = no_quota or status in (401, 403, 404)
    return failure


def _api_message(error: openai.APIStatusError) -> str:
    """The server's own words, where they can be found."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        found = inner.get("message", inner.get("detail")) if isinstance(inner, dict) else inner
        if isinstance(found, str):
            return found
    return error.response.text[:2000] or error.message


def _retry_after(header: str | None) -> float | None:
    """Seconds of a Retry-After header, which may be a number or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
