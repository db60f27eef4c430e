"""Maps a server's error to a failure: too long, passing (another try may succeed), or final.

Servers put their message under many names, as text, object, list or JSON in a string, and some send an error
inside HTTP 200. Only fields that hold a server's own message are read, because some servers repeat the prompt in
the error.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from ..errors import BadCompletion, ModelFailure, PromptTooLong
from .too_long import says_too_long

_WORDS = (
    *("message", "msg", "detail", "details", "error", "errors", "error_message", "errormessage", "status_msg"),
    *("reason", "description", "title", "raw", "cause", "innererror", "inner_error", "exception", "fault"),
    *("faultstring", "output", "metadata", "base_resp", "upstream", "provider_error", "response", "data"),
)
"""Fields that hold a server's message, or an object that has one. The first match is the message."""
_CODES = (
    *("code", "type", "status", "error_type", "error_code", "errorcode", "__type", "kind", "reason", "param"),
    *("status_code", "http_status_code", "finish_reason"),
)
_PATHS = ("loc", "param", "field")
_DEEPEST = 8
_LONGEST = 2_000
_PASSING = frozenset({408, 409, 425, 429})
_LETS_NOBODY_IN = frozenset({401, 402, 403, 404})
_NO_MONEY = re.compile(
    r"insufficient_quota|insufficient[ _](?:balance|credits?|funds)|billing_hard_limit|billing_not_active"
    r"|credit_balance|余额不足|欠费",
    re.IGNORECASE,
)
_PAGE = re.compile(r"^\s*(?:<!doctype|<html|<\?xml|<head|<body)", re.IGNORECASE)
_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class TransientFailure(Exception):
    """A failure of one try that a retry may resolve.

    `status` is that of the response or of its body, None without a response. `retry_after` is in seconds, as the
    server asked. `failure` is the exception that the call raises if no try is left.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        cost: Decimal | None = Decimal(0),
        failure: type[ModelFailure] = ModelFailure,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.cost = cost
        self.failure = failure

    @property
    def endpoint_fault(self) -> bool:
        """Whether the endpoint as a whole failed: it cannot be reached, or it is broken."""
        return (self.status is None or self.status >= 500) and self.failure is not PromptTooLong


@dataclass(frozen=True)
class Sent:
    """A request's size in tokens: its model's context window, None if unknown, and our own count of its prompt."""

    window: int | None = None
    count: Callable[[], int] = int

    @cached_property
    def tokens(self) -> int:
        """Tokens of the prompt, counted on first access."""
        return self.count()

    @property
    def is_over(self) -> bool:
        """Whether the prompt is longer than the window by our own count."""
        return self.window is not None and self.tokens > self.window


@dataclass(frozen=True)
class ServerWords:
    """The text of an error: `message` for people, `texts` and `codes` for rules."""

    message: str
    texts: tuple[str, ...]
    codes: tuple[str, ...]

    @property
    def status(self) -> int | None:
        """The HTTP status among the codes, None if there is none."""
        found = [int(code) for code in self.codes if re.fullmatch(r"[45]\d\d", code)]
        return found[0] if found else None


def failure_of(
    status: int, headers: Mapping[str, str], body: bytes | str, *, sent: Sent = Sent()
) -> ModelFailure | TransientFailure:
    """Returns the failure that an HTTP error status and its body mean."""
    words = words_of(decoded(body) or headers.get("location", ""))
    return _failure(words, status=status, told=f"HTTP {status}", sent=sent, retry_after=_retry_after(headers))


def failure_inside(
    body: Any, headers: Mapping[str, str], *, sent: Sent = Sent()
) -> ModelFailure | TransientFailure | None:
    """Returns the failure in a decoded body of HTTP 200; None if the body holds none.

    An error without a status is passing: a problem with the request would have come with one.
    """
    error = _error_in(body)
    if error is None:
        return None
    words = words_of(error)
    status = words.status
    told = f"HTTP {status} inside 200" if status else "the endpoint answered with an error"
    failure = _failure(words, status=status or 200, told=told, sent=sent, retry_after=_retry_after(headers))
    if status is None and type(failure) is ModelFailure:
        return TransientFailure(str(failure), status=200, cost=None, failure=BadCompletion)
    return failure


def no_completion(why: str, body: Any = None) -> TransientFailure:
    """Returns the failure for a response that is not a chat completion, such as a proxy's page. It may be
    billed.
    """
    shown = "" if body is None else f": {_short(body)}"
    return TransientFailure(f"{why}{shown}", status=200, cost=None, failure=BadCompletion)


def decoded(body: bytes | str) -> Any:
    """Returns a body as JSON, an event stream as its first event, and anything else as text without markup."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    for part in (text, *_events_in(text)):
        try:
            return json.loads(part)
        except (ValueError, RecursionError):
            continue
    return " ".join(_TAG.sub(" ", text).split()) if _PAGE.match(text) else text.strip()


def is_page(body: bytes | str) -> bool:
    """Returns whether a body is an HTML page, as proxies send one."""
    return bool(_PAGE.match(body.decode("utf-8", "replace") if isinstance(body, bytes) else body))


def words_of(body: Any) -> ServerWords:
    """Returns the text of a decoded error body, whatever its shape."""
    texts: list[str] = []
    codes: list[str] = []
    _collect(body, texts, codes, depth=0)
    message = next((text for text in texts if text), "") or _short(body)
    return ServerWords(message[:_LONGEST], tuple(texts), tuple(codes))


def _failure(
    words: ServerWords, *, status: int, told: str, sent: Sent, retry_after: float | None
) -> ModelFailure | TransientFailure:
    message = f"{told}: {words.message}" if words.message else told
    if says_too_long(codes=words.codes, texts=words.texts, status=status) or _body_was_too_large(words, status):
        return _refused(PromptTooLong, message, status)
    said = " ".join([*words.codes, *words.texts])
    # An account without credit gets a 429 as well, but waiting does not help.
    if (status in _PASSING or status >= 500) and not _NO_MONEY.search(said):
        # Some servers fail on a long prompt instead of refusing it.
        last = PromptTooLong if status == 500 and sent.is_over else ModelFailure
        return TransientFailure(message, status=status, retry_after=retry_after, failure=last)
    if status in (400, 413, 422) and sent.is_over:
        counted = f"the prompt has about {sent.tokens:,} tokens, the window {sent.window:,}"
        return _refused(PromptTooLong, f"{message} ({counted})", status)
    refused = _refused(ModelFailure, message, status)
    refused.endpoint_fault = status in _LETS_NOBODY_IN or bool(_NO_MONEY.search(said))
    return refused


def _refused(kind: type[ModelFailure], message: str, status: int) -> ModelFailure:
    failure = kind(message)
    failure.status = status
    return failure


def _body_was_too_large(words: ServerWords, status: int) -> bool:
    """Returns whether this is an HTTP 413 without a message, or a proxy's. Only the prompt can make a request
    large.
    """
    said = " ".join(words.texts).lower()
    return status == 413 and (not said or bool(re.search(r"(?:entity|payload|content|body) too large", said)))


def _error_in(body: Any) -> Any:
    """Returns the part of a body that is an error; None without one."""
    if isinstance(body, list):
        return next((found for item in body if (found := _error_in(item)) is not None), None)
    if not isinstance(body, Mapping):
        return None
    if body.get("error"):
        return body if isinstance(body["error"], str) else body["error"]
    if body.get("choices"):
        # OpenRouter reports a provider's failure in the choice.
        choice = body["choices"][0] if isinstance(body["choices"], list) else None
        return choice.get("error") or None if isinstance(choice, Mapping) else None
    if body.get("errors") or body.get("detail") or body.get("object") == "error" or body.get("type") == "error":
        return body
    base = body.get("base_resp")
    if isinstance(base, Mapping) and base.get("status_code"):
        return base
    return body if body.get("message") and (body.get("code") or body.get("__type")) else None


def _collect(value: Any, texts: list[str], codes: list[str], *, depth: int) -> None:
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        texts.append(value[: 2 * _LONGEST])
        inner = _json_in(value)
        if inner is not None:
            _collect(inner, texts, codes, depth=depth + 1)
    elif isinstance(value, list):
        for item in value[:20]:
            _collect(item, texts, codes, depth=depth + 1)
    elif isinstance(value, Mapping):
        _collect_object({str(name).lower(): item for name, item in value.items()}, texts, codes, depth=depth)


def _collect_object(found: Mapping[str, Any], texts: list[str], codes: list[str], *, depth: int) -> None:
    codes += [str(found[name]) for name in _CODES if isinstance(found.get(name), str | int) and found[name] != ""]
    path = ".".join(map(str, found["loc"])).removeprefix("body.") if isinstance(found.get("loc"), list) else ""
    for name in _WORDS:
        item = found.get(name)
        if isinstance(item, str) and path:
            item = f"{path}: {item}"
        if item is not None and not (name == "reason" and isinstance(item, str)):
            _collect(item, texts, codes, depth=depth + 1)


def _json_in(text: str) -> Any:
    """Returns the JSON object in a text, because gateways wrap another server's answer in their own."""
    for start in (text.find('{"'), text.find("{'")):
        if start < 0:
            continue
        inside = text[start : text.rfind("}") + 1]
        for form in (inside, inside.replace('\\"', '"')):
            try:
                return json.loads(form)
            except (ValueError, RecursionError):
                continue
    return None


def _events_in(text: str) -> Iterator[str]:
    return (line[5:].strip() for line in text.splitlines()[:50] if line.startswith("data:"))


def _short(value: Any) -> str:
    return value[:500] if isinstance(value, str) else json.dumps(value, default=str)[:500]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds of a Retry-After header (a number or a date) or of its variant in milliseconds."""
    found = {name.lower(): value for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(found[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(found["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return None
