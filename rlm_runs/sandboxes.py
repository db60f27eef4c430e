"""Which sandbox backend this process uses, and which models may run code in it."""

from __future__ import annotations

import os
from functools import cache

from django.conf import settings
from sandbox.backends import open_backend
from sandbox.settings import SandboxSettings

from sandbox.contract import Backend


@cache
def backend() -> Backend:
    """The backend of RLM_SANDBOX; with `auto`, Docker where an engine answers, else processes."""
    return open_backend(settings.RLM_SANDBOX, SandboxSettings.from_environment(os.environ))


def refusal(*, model: str, simulated: bool) -> str:
    """Why the code of a model may not run in this backend, in words; "" where it may."""
    if backend().name != "process" or simulated or model in settings.RLM_PROCESS_SANDBOX_MODELS:
        return ""
    return (
        f"no Docker engine answers, and the process sandbox has no walls: it does not run code of {model}. "
        f"Start Docker, or allow it by RLM_PROCESS_SANDBOX_MODELS={model}"
    )
