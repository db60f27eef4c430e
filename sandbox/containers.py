"""Removal of our containers on an engine, which are found by their labels for owner and deadline.

Containers normally remove themselves. The sweep removes those that remain after a restart of the engine or the
machine. A container without both labels is never touched.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import docker.errors
import requests
from docker.api.client import APIClient

from sandbox.owner import Owner

OWNER_LABEL = "rlm-sandbox.owner"
DEADLINE_LABEL = "rlm-sandbox.deadline"
"""A Unix timestamp, in seconds."""

EngineErrors = (docker.errors.DockerException, requests.RequestException, OSError)


def remove(client: APIClient, container: str) -> None:
    """Kills and removes a container. Ignores a container that is gone or being removed."""
    with contextlib.suppress(*EngineErrors):
        client.remove_container(container, force=True, v=True)


def sweep_containers(client: APIClient, *, is_left: Callable[[str], bool] = lambda name: False) -> list[str]:
    """Removes expired and orphaned containers. Returns their ids.

    `is_left` returns whether a container of the caller, given by name, is no longer held.
    """
    removed = []
    for container in client.containers(all=True, filters={"label": [OWNER_LABEL, DEADLINE_LABEL]}):
        labels = container.get("Labels") or {}
        names = [name.removeprefix("/") for name in container.get("Names") or ()]
        if any(map(is_left, names)) or _is_over(
            owner=labels.get(OWNER_LABEL, ""), deadline=labels.get(DEADLINE_LABEL, "")
        ):
            with contextlib.suppress(docker.errors.APIError):  # gone, or being removed
                client.remove_container(container["Id"], force=True, v=True)
                removed.append(str(container["Id"]))
    return removed


def _is_over(*, owner: str, deadline: str) -> bool:
    if deadline.isdigit() and time.time() > int(deadline):
        return True
    known = Owner.parse(owner)
    return known is not None and known.is_dead()
