"""The model endpoints of `endpoints.toml`, completed from the environment.

An endpoint declares once how its models are called; a model may override it. The file never contains keys: a value
that looks like a key is refused and not repeated.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .circuit_settings import CircuitSettings
from .listed_prices import providers
from .pricing import Price

_KEY_VALUE = re.compile(
    r"\bbearer\s+\S{8,}|\bAIza\S{20,}"
    r"|(?<![A-Za-z0-9])(?:sk|pk|rk|gsk|xai|hf|ghp|pplx|nvapi|csk)[-_](?=[\w-]*\d)[\w-]{16,}",
    re.IGNORECASE,
)
_KEY_NAME = re.compile(
    r"(?:api|access|secret|auth)[-_]?(?:key|token)|authorization|password|secret", re.IGNORECASE
)
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_OURS = frozenset({"model", "messages", "tools", "stream", "n", "extra_body", "extra_headers", "extra_query"})
"""Request parameters that the engine sets itself, or that have their own setting."""

MaxTokensParameter = Literal["max_tokens", "max_completion_tokens"]


class Calls(BaseModel):
    """The settings of a model's calls. An endpoint's values apply to all its models; a model's own values override
    them.

    `extra_body` is merged into each request's body, `request` into the parameters of the chat completion, both by
    name. `tools = "text"` is for models without tool calling. `max_tokens_parameter` is the server's name for the
    limit of a completion. `stream` requests streamed answers. `think_tags` says whether reasoning between tags is
    removed from the content. `check_prompts` says whether a prompt is marked as truncated if the server counts far
    fewer tokens than we do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    extra_body: dict[str, Any] = Field(default={})
    request: dict[str, Any] = Field(default={})
    tools: Literal["native", "text"] | None = None
    max_tokens_parameter: MaxTokensParameter | None = None
    think_tags: Literal["auto", "on", "off"] | None = None
    check_prompts: bool | None = None
    stream: bool | None = None

    @field_validator("request")
    @classmethod
    def _check_reserved_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        ours = sorted(_OURS & given.keys())
        if ours:
            raise ValueError(f"must not hold {', '.join(ours)}")
        return given

    def before(self, other: Calls) -> Calls:
        """Returns these settings, completed by those of `other`."""
        return Calls(
            extra_body={**other.extra_body, **self.extra_body},
            request={**other.request, **self.request},
            tools=self.tools or other.tools,
            max_tokens_parameter=self.max_tokens_parameter or other.max_tokens_parameter,
            think_tags=self.think_tags or other.think_tags,
            check_prompts=other.check_prompts if self.check_prompts is None else self.check_prompts,
            stream=other.stream if self.stream is None else self.stream,
        )


class Rate(BaseModel):
    """Limits across all workers: calls in flight, and requests and tokens in any minute. None means no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int | None = Field(default=None, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    tokens_per_minute: int | None = Field(default=None, ge=1)


class ServedModel(Calls, Rate):
    """A model that an endpoint serves. `window` is in tokens, None if unknown; `price` overrides the price
    list.
    """

    name: str = Field(min_length=1)
    window: int | None = Field(default=None, ge=1)
    price: Price | None = None

    def __hash__(self) -> int:
        return hash(self.name)


class Endpoint(Calls, Rate):
    """An OpenAI-compatible server. Its key is read from the environment at the time of use, and never kept.

    `provider` names the provider whose prices apply: "" selects it by the address, "none" means no provider.
    """

    name: str
    title: str
    base_url: str
    base_url_variable: str = Field(default="", pattern=f"^(?:{_VARIABLE})?$")
    key_variable: str = Field(default="", pattern=f"^(?:{_VARIABLE})?$")
    simulated: bool = False
    circuit: CircuitSettings = CircuitSettings()
    provider: str = ""
    models: tuple[ServedModel, ...]

    def __hash__(self) -> int:
        return hash(self.name)

    @field_validator("provider")
    @classmethod
    def _check_provider(cls, given: str) -> str:
        if given not in ("", "none", *providers()):
            raise ValueError(f"must be none or one of {', '.join(providers())}")
        return given

    @field_validator("base_url")
    @classmethod
    def _check_address(cls, given: str) -> str:
        parts = urlsplit(given)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address like https://host/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("must hold neither a login nor a query: a key belongs into a variable")
        return given

    @property
    def url(self) -> str:
        """The base URL of requests."""
        return os.environ.get(self.base_url_variable) or self.base_url

    @property
    def key(self) -> str:
        """The API key, "" if none is set."""
        return os.environ.get(self.key_variable, "") if self.key_variable else ""

    @property
    def missing(self) -> str:
        """What must be set before this endpoint can be used, as a sentence; "" if nothing is missing.

        A server at the address in the base URL's variable may need no key.
        """
        if not self.key_variable or self.key or os.environ.get(self.base_url_variable):
            return ""
        if not self.base_url_variable:
            return f"set {self.key_variable}"
        return f"set {self.key_variable} (or {self.base_url_variable}, for a server that needs no key)"


@dataclass(frozen=True)
class ModelChoice:
    """A model that an experiment may name."""

    served: ServedModel
    endpoint: Endpoint

    def __hash__(self) -> int:
        return hash((self.endpoint.name, self.served.name))

    @property
    def name(self) -> str:
        """The model's name in experiments."""
        return self.served.name

    @property
    def window(self) -> int | None:
        """The model's context window in tokens, None if unknown."""
        return self.served.window

    @property
    def title(self) -> str:
        """The model and its endpoint, for lists."""
        return f"{self.name} ({self.endpoint.title})"

    @property
    def simulated(self) -> bool:
        """Whether it is the simulated model."""
        return self.endpoint.simulated

    @property
    def calls(self) -> Calls:
        """How the model is called: its own settings over those of its endpoint."""
        return self.served.before(self.endpoint)


def load_endpoints(path: Path) -> tuple[Endpoint, ...]:
    """Returns the endpoints of a TOML file. Raises ImproperlyConfigured, which names the problem and its place."""
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"RLM_ENDPOINTS_FILE {path}: {error}") from error
    problems = [f"{place}: looks like a key; name a variable by key_variable" for place in _keys_in(tables)]
    endpoints = [] if problems else list(_endpoints(tables, problems))
    served = Counter(model.name for endpoint in endpoints for model in endpoint.models)
    problems += [f"model {name!r} is served more than once" for name, times in served.items() if times > 1]
    if problems:
        raise ImproperlyConfigured("\n".join([f"RLM_ENDPOINTS_FILE {path}:", *problems]))
    return tuple(endpoints)


def model_choices() -> list[ModelChoice]:
    """Returns every model that can be named, including those of RLM_EXTRA_MODELS."""
    endpoints = load_endpoints(settings.RLM_ENDPOINTS_FILE)
    choices = [ModelChoice(served=model, endpoint=endpoint) for endpoint in endpoints for model in endpoint.models]
    known = {choice.name for choice in choices}
    return choices + list(_extra_models(endpoints, known=known))


def find_model(name: str) -> ModelChoice | None:
    """Returns the model with this name; None if there is none."""
    return next((choice for choice in model_choices() if choice.name == name), None)


def _endpoints(tables: Mapping[str, Any], problems: list[str]) -> Iterator[Endpoint]:
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            problems.append(f"{name}: must be a table, [{name}]")
            continue
        try:
            yield Endpoint.model_validate({**table, "name": name})
        except ValidationError as error:
            problems += [
                f"{_place([name, *found['loc']])}: {_words(found['type'], found['msg'])}"
                # The given value is not repeated, because it may be a secret in the wrong place.
                for found in error.errors(include_input=False, include_url=False)
            ]


def _words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such setting"
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _keys_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[str]:
    """Yields the paths of values that look like API keys, judged by the value itself or by its name."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(item, str) and item and _KEY_NAME.search(name):
                yield _place([*path, name])
            else:
                yield from _keys_in(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _keys_in(item, (*path, index))
    elif isinstance(value, str) and _KEY_VALUE.search(value):
        yield _place(path)


def _place(path: Sequence[str | int]) -> str:
    """Returns a path as text, such as `openai.models[1].window`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _extra_models(endpoints: tuple[Endpoint, ...], *, known: set[str]) -> Iterator[ModelChoice]:
    """Yields the models that only the environment names. The first endpoint that is not simulated serves them."""
    served_by = next((endpoint for endpoint in endpoints if not endpoint.simulated), None)
    if served_by is not None:
        for name in settings.RLM_EXTRA_MODELS:
            if name not in known:
                yield ModelChoice(served=ServedModel(name=name), endpoint=served_by)
