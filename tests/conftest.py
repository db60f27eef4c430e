"""Skips tests that need a part the machine lacks. With CI=true such a test fails instead."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from django.db import connections

CI = os.environ.get("CI") == "true"


def _docker_is_missing() -> str:
    try:
        found = subprocess.run(["docker", "version"], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return "there is no docker command"
    return "" if found.returncode == 0 else "no Docker engine answers"


def _chromium_is_missing() -> str:
    return "" if chromium_path() else "there is no Chromium"


def _redis_is_missing() -> str:
    return "" if shutil.which("redis-server") else "there is no redis-server"


def compose_command() -> list[str]:
    """`docker compose`, the older `docker-compose`, or nothing."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, timeout=30, check=False)
            if done.returncode == 0:
                return command
    return []


def _compose_is_missing() -> str:
    return "" if compose_command() else "there is no docker compose"


def chromium_path() -> str | None:
    """The path of Chromium or Chrome."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


MISSING = {
    "compose": _compose_is_missing,
    "docker": _docker_is_missing,
    "browser": _chromium_is_missing,
    "redis": _redis_is_missing,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests that cannot run on this machine and names the missing part; on CI they fail."""
    if CI:
        return
    for name, missing in MISSING.items():
        marked = [item for item in items if item.get_closest_marker(name)]
        why = missing() if marked else ""
        for item in marked if why else ():
            item.add_marker(pytest.mark.skip(reason=f"{why}; `make test` says how to get it"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix):
    """Closes a pool that a test without a database has opened: it leads to the store, not to the test database."""
    connections["default"].close_pool()


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(config, report):
    """pytest-xdist cannot send a lone surrogate, and logs and failures of tests with hostile text have them."""
    return _encodable((yield))


def _encodable(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return type(value)(map(_encodable, value)) if isinstance(value, list | tuple) else value
