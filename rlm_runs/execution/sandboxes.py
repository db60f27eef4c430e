"""The sandbox backend of this process, and the models whose code may run in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import cast

from django.conf import settings

from sandbox.backends import BackendName, open_backend
from sandbox.contract import Backend, EngineUnavailable, SandboxError
from sandbox.settings import SandboxSettings

_lock = threading.Lock()
_opened: list[Backend] = []
"""The last backend is in use. Earlier ones may still hold sandboxes of rollouts."""


def backend() -> Backend:
    """Returns the backend of RLM_SANDBOX. `auto` selects Docker if an engine answers, else processes.

    Raises EngineUnavailable if Docker is set and no engine answers.
    """
    with _lock:
        if not _opened:
            _opened.append(_open(cast(BackendName, settings.RLM_SANDBOX)))  # the settings have validated it
        return _opened[-1]


def _open(name: BackendName) -> Backend:
    environment = {"SANDBOX_STATE_DIR": str(settings.VAR_DIR / "sandbox")} | dict(os.environ)
    return open_backend(name, SandboxSettings.from_environment(environment))


def _look_for_docker() -> None:
    """Switches to Docker if `auto` found no engine before and one answers now."""
    with _lock:
        if settings.RLM_SANDBOX != "auto" or not _opened or _opened[-1].name == "docker":
            return
        found = _open("auto")
        if found.name == "docker":
            _opened.append(found)
        else:
            found.close()


def name_in_use() -> str:
    """Returns the name of the backend; "" until a rollout has needed it."""
    return _opened[-1].name if _opened else ""


def is_away() -> bool:
    """Returns whether no sandbox can start now. False until a rollout has needed one."""
    return bool(_opened) and _opened[-1].is_away()


def sizes() -> Mapping[str, int]:
    """Returns the number of this process's sandboxes by state; empty until a rollout has needed one."""
    return _opened[-1].sizes() if _opened else {}


def close() -> None:
    """Ends every sandbox of this process, including warm ones."""
    with _lock:
        while _opened:
            _opened.pop().close()


def refusal(*, model: str, simulated: bool) -> str:
    """Returns why a model's code may not run in this backend, as a sentence; "" if it may."""
    try:
        if backend().name != "process" or simulated or model in settings.RLM_PROCESS_SANDBOX_MODELS:
            return ""
        _look_for_docker()
        if backend().name != "process":
            return ""
    except SandboxError as error:
        return f"code of {model} cannot run: {error}"
    return (
        f"no Docker engine answers, and the process sandbox has no walls: it does not run code of {model}. "
        f"Start Docker, or allow it by RLM_PROCESS_SANDBOX_MODELS={model}"
    )


def require(*, model: str, simulated: bool) -> None:
    """Raises an error if a model's code may not run here.

    PermissionError means never; EngineUnavailable means once an engine answers.
    """
    if why_not := refusal(model=model, simulated=simulated):
        raise PermissionError(why_not) if settings.RLM_SANDBOX == "process" else EngineUnavailable(why_not)
