"""The capacity of a worker process: its settings, and the free memory of its machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings

from . import sandboxes

_MB = 2**20
_RESERVE_MB = 512
"""Memory in MB that stays free for the database, the web server and growing cells."""
_CONTAINER_MB = 40
"""Host memory of one container in MB: its own process, the engine's and the shim's (measured: 34 MB)."""
_ROLLOUT_MB = 1
"""Memory in MB that a worker needs for one rollout that waits for its model."""


def room(*, running: int) -> int:
    """Returns the number of rollouts that can begin now, in addition to the running ones.

    With Docker, every rollout counts as one container, although its container starts with its first cell. While
    the engine is unavailable there is no room, because another worker may have some.
    """
    if sandboxes.is_away():
        return 0
    has_containers = sandboxes.name_in_use() == "docker"
    fitting = (_available_mb() - _RESERVE_MB) // (_CONTAINER_MB if has_containers else _ROLLOUT_MB)
    allowed = settings.RLM_MAX_CONTAINERS - running if has_containers else fitting
    return max(0, min(fitting, allowed))


def limits(*, slots: int) -> dict[str, Any]:
    """Returns the limits of this process by name, as shown on the Workers page."""
    return {
        "rollouts": slots,
        "containers": settings.RLM_MAX_CONTAINERS,
        "model connections": settings.RLM_MODEL_CONNECTIONS,
        "database connections": settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"],
    }


def limit_lines(*, slots: int) -> Iterator[str]:
    """Yields a line for each limit and the setting that changes it, for the log of a starting worker."""
    variables = {
        "rollouts": "--concurrency",
        "containers": "RLM_MAX_CONTAINERS",
        "model connections": "RLM_MODEL_CONNECTIONS",
        "database connections": "DATABASE_POOL",
    }
    for name, value in limits(slots=slots).items():
        yield f"at most {value} {name} ({variables[name]})"
    yield f"{_available_mb():,} MB of memory are available; a rollout with a container counts {_CONTAINER_MB} MB"


def _available_mb() -> int:
    """Returns the free memory in MB: the smaller of the machine's and the control group's."""
    return min(_machine_mb(), _group_mb())


def _machine_mb() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def _group_mb() -> int:
    """Returns the free memory of the control group (version 2) in MB; the machine's if the group has no limit."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return _machine_mb()
    return _machine_mb() if limit == "max" else max(0, (int(limit) - used) // _MB)
