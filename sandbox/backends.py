"""Chooses a backend: Docker if an engine answers, else the process backend."""

from __future__ import annotations

import logging
from typing import Literal

from sandbox.contract import Backend, SandboxError
from sandbox.settings import SandboxSettings

logger = logging.getLogger(__name__)

BackendName = Literal["docker", "process", "auto"]


def open_backend(name: BackendName, settings: SandboxSettings) -> Backend:
    """Returns the named backend.

    Raises SandboxError if `docker` is requested and no engine answers, and ValueError for an unknown name.
    """
    # Imported here, so that a program without an engine never loads the engine's client.
    if name == "process":
        from sandbox.process_backend import ProcessBackend

        return ProcessBackend(settings)
    if name == "docker":
        from sandbox.docker_backend import DockerBackend

        return DockerBackend(settings)
    if name != "auto":
        raise ValueError(f"no sandbox backend is called {name!r}: docker, process and auto are")
    return _choose_backend(settings)


def _choose_backend(settings: SandboxSettings) -> Backend:
    """Returns the Docker backend if an engine answers and has or can get a base image, else the process
    backend.
    """
    try:
        backend = open_backend("docker", settings)
    except SandboxError as error:
        logger.info("process sandboxes, as %s", error)
        return open_backend("process", settings)
    try:
        backend.prepare(())
    except SandboxError as error:
        logger.warning("process sandboxes, as %s", error)
        backend.close()
        return open_backend("process", settings)
    return backend


def docker_available() -> tuple[bool, str]:
    """Returns whether an engine answers, and a sentence with the reason if it does not."""
    from sandbox.docker_backend import open_client

    try:
        open_client().close()
    except SandboxError as error:
        return False, str(error)
    return True, ""
