"""The sandbox backend of this process, and the models whose code may run in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import cast

from django.conf import settings

from sandbox.backends import BackendName, open_backend
from sandbox.contract import Backend
from sandbox.settings import SandboxSettings


@cache
def backend() -> Backend:
    """The backend of RLM_SANDBOX; with `auto`, Docker where an engine answers, else processes."""
    environment = {"SANDBOX_STATE_DIR": str(settings.VAR_DIR / "sandbox")} | dict(os.environ)
    name = cast(BackendName, settings.RLM_SANDBOX)  # the settings have checked it
    return open_backend(name, SandboxSettings.from_environment(environment))


def name_in_use() -> str:
    """The name of the backend, "" while no rollout has needed it."""
    return backend().name if backend.cache_info().currsize else ""


def sizes() -> Mapping[str, int]:
    """Returns the sandboxes of this process by state; empty while no rollout has needed one."""
    return backend().sizes() if backend.cache_info().currsize else {}


def close() -> None:
    """Ends every sandbox of this process, those kept warm included."""
    if backend.cache_info().currsize:
        backend().close()
        backend.cache_clear()


def refusal(*, model: str, simulated: bool) -> str:
    """Returns why a model's code may not run in this backend, as a sentence; "" if it may."""
    if backend().name != "process" or simulated or model in settings.RLM_PROCESS_SANDBOX_MODELS:
        return ""
    return (
        f"no Docker engine answers, and the process sandbox has no walls: it does not run code of {model}. "
        f"Start Docker, or allow it by RLM_PROCESS_SANDBOX_MODELS={model}"
    )
