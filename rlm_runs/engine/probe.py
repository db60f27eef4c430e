"""Probes a model: three tiny calls find out what its server supports, and a search finds its context window.

It calls through the client that rollouts use, so its findings hold for rollouts.

- The first message asks for two calls of a tool. It tests tools and parallel calls.
- The tool results are sent back after the same opening. It tests the round trip and caching.
- A prompt longer than the window is sent, which a server refuses at no cost. It tests how the server says so.

The first two calls also show whether usage and reasoning are reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .cancellation import CancellationToken
from .clients.base import Completion, Messages, ModelClient, ToolSchemas
from .errors import ModelFailure, PromptTooLong

Verdict = Literal["yes", "no", "partly", "unknown", "skipped"]

TOOL: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}
_RULES = "You answer tersely.\n" + "\n".join(
    f"Rule {number}: number {number} of these rules changes nothing about your answer." for number in range(1, 81)
)
"""About 1,200 tokens, because caches begin at 1,024."""
_ASK = "In one message, call add twice: add 2 and 3, and add 4 and 5. Write no text."
_WORD = " the"
"""A word that is one token in every known vocabulary."""
_LONGER = 1.25
"""The length of the third call's prompt, as a multiple of the window."""
_CLOSE = 0.02
"""The search for the window stops at this relative precision."""
_LONGEST = 4_000_000
"""The window is not searched above this number of tokens."""
_WORDS = 600


@dataclass(frozen=True)
class Finding:
    """A feature that a server supports or does not. `detail` is a sentence of ours, or the server's message."""

    name: str
    verdict: Verdict
    detail: str


class Unreachable(Exception):
    """The model answers neither with tools nor without. The message is that of the server or of the connection."""


def probe(client: ModelClient, model: str, *, window: int | None, control: CancellationToken) -> list[Finding]:
    """Returns the findings of the three calls. Raises Unreachable and Stopped."""
    caller = _Caller(client, model, control)
    opening = [{"role": "system", "content": _RULES}, {"role": "user", "content": _ASK}]
    first, refusal = _first_call(caller, opening)
    second, broken = _second_call(caller, opening, first) if not refusal else (None, None)
    completions = [each for each in (first, second) if each is not None]
    return [
        *_tools(first, refusal, broken),
        _reasoning(completions),
        _usage(completions),
        _caching(second, refusal),
        _too_long(caller, window),
    ]


def check(client: ModelClient, model: str, *, tools: bool, control: CancellationToken) -> Finding:
    """Makes one tiny call, with a tool where required. Raises Unreachable and Stopped."""
    caller = _Caller(client, model, control)
    ask = [{"role": "user", "content": "Call add with 2 and 3." if tools else "Say yes."}]
    try:
        caller.call(ask, tools=[TOOL] if tools else [])
    except ModelFailure as failure:
        if not tools:
            raise Unreachable(str(failure)) from failure
        caller.call_or_unreachable(ask, failure)
        return Finding("tools", "no", _short(str(failure)))
    return Finding("tools" if tools else "answers", "yes", "it answers")


def find_window(
    client: ModelClient,
    model: str,
    *,
    guess: int,
    control: CancellationToken,
    tell: Callable[[str], None] = lambda _: None,
) -> int | None:
    """Returns the largest prompt in tokens that the server accepts, by bisection; None if it refuses none.

    `guess` is a likely window. Raises Unreachable if the server refuses for another reason.
    """
    caller = _Caller(client, model, control)
    taken, refused, size = 0, None, guess
    while refused is None or refused - taken > max(64, refused * _CLOSE):
        tokens = caller.takes(size)
        tell(f"about {size:,} tokens: " + ("refused" if tokens is None else f"taken, counted as {tokens:,}"))
        if tokens is None:
            refused = size
        elif tokens < size * 0.7:
            return tokens  # the server truncated the prompt without an error
        else:
            taken = size
        if refused is None and taken * 2 > _LONGEST:
            return None
        size = (taken + refused) // 2 if refused is not None else int(taken * _LONGER)
        if size < 64:
            raise Unreachable("the server refuses even the shortest prompt as too long")
    return caller.counted or taken


def tokens_of_search(guess: int) -> int:
    """Returns the most prompt tokens that the search for a window near `guess` may use. Refused prompts cost
    nothing.
    """
    return int(guess * 8)


@dataclass
class _Caller:
    client: ModelClient
    model: str
    control: CancellationToken
    counted: int = 0
    """The most prompt tokens that the server counted."""

    def call(self, messages: Messages, *, tools: ToolSchemas = ()) -> Completion:
        return self.client.complete(
            model=self.model, messages=messages, tools=tools, sampling={}, control=self.control
        )

    def call_or_unreachable(self, messages: Sequence[Mapping[str, Any]], failure: ModelFailure) -> Completion:
        """Makes a call without tools, after one with tools failed."""
        try:
            return self.call(messages)
        except ModelFailure:
            raise Unreachable(str(failure)) from failure

    def takes(self, size: int) -> int | None:
        """Returns the server's token count of a prompt of about this size; None if the server refuses it as too
        long.
        """
        try:
            completion = self.call([{"role": "user", "content": _filler(size)}])
        except PromptTooLong:
            return None
        except ModelFailure as failure:
            raise Unreachable(str(failure)) from failure
        found = completion.usage.prompt or size
        self.counted = max(self.counted, found)
        return found


def _filler(tokens: int) -> str:
    return "Say yes." + _WORD * tokens


def _first_call(caller: _Caller, opening: Sequence[Mapping[str, Any]]) -> tuple[Completion, ModelFailure | None]:
    """Returns the answer to the first message. If the server refuses tools, it is made without, and the refusal is
    returned.
    """
    try:
        return caller.call(opening, tools=[TOOL]), None
    except ModelFailure as failure:
        return caller.call_or_unreachable(opening, failure), failure


def _second_call(
    caller: _Caller, opening: Sequence[Mapping[str, Any]], first: Completion
) -> tuple[Completion | None, ModelFailure | None]:
    """Returns the answer to the tool results that are sent back."""
    results: list[Mapping[str, Any]] = [
        {"role": "tool", "tool_call_id": call.id, "content": str(5 + 4 * number)}
        for number, call in enumerate(first.tool_calls)
    ]
    more = results or [{"role": "user", "content": "Say yes."}]
    try:
        return caller.call([*opening, first.message(), *more], tools=[TOOL]), None
    except ModelFailure as failure:
        return None, failure


def _tools(first: Completion, refusal: ModelFailure | None, broken: ModelFailure | None) -> Iterator[Finding]:
    if refusal is not None:
        yield Finding("tools", "no", _short(str(refusal)))
        yield Finding("parallel calls", "skipped", "it takes no tools")
        return
    well = [call for call in first.tool_calls if call.name == "add" and _is_object(call.arguments)]
    if broken is not None:
        yield Finding("tools", "partly", f"it calls tools, and does not take their results: {_short(str(broken))}")
    elif not first.tool_calls:
        yield Finding("tools", "unknown", "it takes tools, and called none though it was asked to")
    elif len(well) < len(first.tool_calls):
        yield Finding("tools", "partly", f"it wrote a call that is none: {_short(str(first.tool_calls[0]))}")
    else:
        yield Finding("tools", "yes", "it calls tools, and takes their results")
    count = len(first.tool_calls)
    if count == 0:
        yield Finding("parallel calls", "unknown", "it called nothing")
    else:
        verdict: Verdict = "yes" if count > 1 else "no"
        yield Finding("parallel calls", verdict, f"{count} of the 2 calls asked for came in one message")


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False


def _reasoning(completions: Sequence[Completion]) -> Finding:
    text = any(completion.reasoning for completion in completions)
    tokens = sum(completion.usage.reasoning or 0 for completion in completions)
    if not text and not tokens:
        return Finding("reasoning", "no", "neither text nor tokens of reasoning came with the answers")
    told = [*(["its text"] if text else []), *([f"{tokens:,} tokens"] if tokens else [])]
    return Finding("reasoning", "yes", f"reported: {' and '.join(told)}")


def _usage(completions: Sequence[Completion]) -> Finding:
    raw = next((completion.usage.raw for completion in completions if completion.usage.raw), {})
    shape = ", ".join(_fields(raw))
    if not raw:
        return Finding("usage", "no", "the server reports no tokens")
    known = all(each.usage.prompt is not None and each.usage.completion is not None for each in completions)
    return Finding("usage", "yes" if known else "partly", f"fields: {shape}"[:_WORDS])


def _fields(raw: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in raw.items():
        if isinstance(value, Mapping):
            yield from _fields(value, f"{before}{name}.")
        elif value is not None:
            yield f"{before}{name}"


def _caching(second: Completion | None, refusal: ModelFailure | None) -> Finding:
    if second is None:
        why = "was not made" if refusal else "failed"
        return Finding("caching", "skipped", f"the second call {why}")
    cached, prompt = second.usage.cached, second.usage.prompt
    if cached is None:
        return Finding("caching", "unknown", "the server reports no cached tokens")
    of = f" of {prompt:,}" if prompt is not None else ""
    if cached:
        return Finding("caching", "yes", f"{cached:,}{of} prompt tokens of the second call came from the cache")
    return Finding("caching", "no", f"0{of} prompt tokens of the second call came from the cache")


def _too_long(caller: _Caller, window: int | None) -> Finding:
    name = "too long"
    if window is None:
        return Finding(name, "skipped", "its window is not known")
    size = int(window * _LONGER) + 1000
    try:
        completion = caller.call([{"role": "user", "content": _filler(size)}])
    except PromptTooLong as refusal:
        return Finding(name, "yes", f"recognised: {_short(str(refusal))}")
    except ModelFailure as failure:
        return Finding(name, "partly", f"not recognised as too long: {_short(str(failure))}")
    counted = completion.usage.prompt
    if counted is not None and counted < size * 0.7:
        return Finding(name, "no", f"cut without a word: it counted {counted:,} of about {size:,} tokens")
    return Finding(name, "no", f"it took about {size:,} tokens: its window is larger than {window:,}")


def _short(text: str) -> str:
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}…"
