"""Removes sandboxes that outlived their deadline or their owner; nothing else on the engine is ever touched.

Containers normally remove themselves. What is left after an engine's or a machine's restart is found by label.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

import docker.errors
from docker.api.client import APIClient

from sandbox.owner import Owner

OWNER_LABEL = "rlm-sandbox.owner"
DEADLINE_LABEL = "rlm-sandbox.deadline"
"""Seconds since the epoch."""


def sweep_containers(client: APIClient) -> list[str]:
    """The ids of the containers that were removed."""
    removed = []
    for container in client.containers(all=True, filters={"label": [OWNER_LABEL, DEADLINE_LABEL]}):
        labels = container.get("Labels") or {}
        if _is_over(owner=labels.get(OWNER_LABEL, ""), deadline=labels.get(DEADLINE_LABEL, "")):
            with contextlib.suppress(docker.errors.APIError):  # it is gone or going
                client.remove_container(container["Id"], force=True, v=True)
                removed.append(str(container["Id"]))
    return removed


def sweep_scratch(folder: Path) -> list[Path]:
    """The scratch folders of process sandboxes whose owner is dead; now removed."""
    removed = []
    for scratch in folder.glob("scratch-*"):
        with contextlib.suppress(OSError):
            owner = Owner.parse((scratch / ".owner").read_text())
            if owner is not None and owner.is_dead():
                shutil.rmtree(scratch)
                removed.append(scratch)
    return removed


def _is_over(*, owner: str, deadline: str) -> bool:
    if deadline.isdigit() and time.time() > int(deadline):
        return True
    known = Owner.parse(owner)
    return known is not None and known.is_dead()
