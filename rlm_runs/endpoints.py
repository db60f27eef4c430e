"""The model endpoints of `endpoints.toml`, with what the environment says of them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from pydantic import BaseModel, ConfigDict, ValidationError


class ServedModel(BaseModel):
    """A model that an endpoint serves; `window` in tokens, None where not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    window: int | None = None


class Endpoint(BaseModel):
    """An OpenAI-compatible server. Its key is read from the environment at the moment of use, and never kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    base_url: str
    base_url_variable: str = ""
    key_variable: str = ""
    simulated: bool = False
    models: tuple[ServedModel, ...]

    @property
    def url(self) -> str:
        """Where requests go."""
        return os.environ.get(self.base_url_variable) or self.base_url

    @property
    def key(self) -> str:
        """The API key, or "" where none is set."""
        return os.environ.get(self.key_variable, "") if self.key_variable else ""

    @property
    def missing(self) -> str:
        """What has to be set before this endpoint can be used, in words; "" where nothing is missing.

        A server of one's own, named by the base URL's variable, may need no key.
        """
        if not self.key_variable or self.key or os.environ.get(self.base_url_variable):
            return ""
        return f"set {self.key_variable} (or {self.base_url_variable}, for a server that needs no key)"


@dataclass(frozen=True)
class ModelChoice:
    """A model that an experiment may name."""

    name: str
    window: int | None
    endpoint: Endpoint

    @property
    def title(self) -> str:
        """For lists: the model, and where it is served."""
        return f"{self.name} ({self.endpoint.title})"

    @property
    def simulated(self) -> bool:
        """Whether it is the demo model."""
        return self.endpoint.simulated


def load_endpoints(path: Path) -> tuple[Endpoint, ...]:
    """The endpoints of a TOML file. Raises ImproperlyConfigured, saying what is wrong in it."""
    try:
        tables = tomllib.loads(path.read_text())
        return tuple(Endpoint(name=name, **table) for name, table in tables.items())
    except (OSError, tomllib.TOMLDecodeError, TypeError, ValidationError) as error:
        raise ImproperlyConfigured(f"RLM_ENDPOINTS_FILE {path}: {error}") from error


def model_choices() -> list[ModelChoice]:
    """Every model that can be named, those of RLM_EXTRA_MODELS included."""
    endpoints = load_endpoints(settings.RLM_ENDPOINTS_FILE)
    choices = [
        ModelChoice(name=model.name, window=model.window, endpoint=endpoint)
        for endpoint in endpoints
        for model in endpoint.models
    ]
    known = {choice.name for choice in choices}
    return choices + list(_extra_models(endpoints, known=known))


def _extra_models(endpoints: tuple[Endpoint, ...], *, known: set[str]) -> Iterator[ModelChoice]:
    """Models that only the environment names; served by the first endpoint that is not simulated."""
    served_by = next((endpoint for endpoint in endpoints if not endpoint.simulated), None)
    if served_by is not None:
        for name in settings.RLM_EXTRA_MODELS:
            if name not in known:
                yield ModelChoice(name=name, window=None, endpoint=served_by)


def find_model(name: str) -> ModelChoice | None:
    """The model of that name, or None."""
    return next((choice for choice in model_choices() if choice.name == name), None)
