"""Chooses a backend: Docker where an engine answers, the process backend elsewhere."""

from __future__ import annotations

import logging
from typing import Literal

from sandbox.contract import Backend, SandboxError
from sandbox.settings import SandboxSettings

logger = logging.getLogger(__name__)

BackendName = Literal["docker", "process", "auto"]


def open_backend(name: BackendName, settings: SandboxSettings) -> Backend:
    """Raises SandboxError if Docker is asked for by name and no engine answers; ValueError for another name."""
    # Imported here, so that a program without an engine never loads the engine's client.
    if name == "process":
        from sandbox.process_backend import ProcessBackend

        return ProcessBackend(settings)
    if name == "docker":
        from sandbox.docker_backend import DockerBackend

        return DockerBackend(settings)
    if name != "auto":
        raise ValueError(f"no sandbox backend is called {name!r}: docker, process and auto are")
    return _best(settings)


def _best(settings: SandboxSettings) -> Backend:
    """Docker, if an engine answers and has a base image or can get one."""
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
    """Returns whether an engine answers, and if not, the reason as a sentence."""
    from sandbox.docker_backend import open_client

    try:
        open_client().close()
    except SandboxError as error:
        return False, str(error)
    return True, ""
