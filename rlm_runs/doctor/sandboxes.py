"""Checks of the sandboxes: the Docker engine, its images and its disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker.errors
from django.conf import settings
from docker.api.client import APIClient

from sandbox import debian_base
from sandbox.contract import SandboxError
from sandbox.docker_backend import open_client
from sandbox.settings import SandboxSettings

from ..models import Arm, Rollout
from .disk import free_space_finding
from .findings import Finding, fail, ok, warn

INSTALL_ENGINE = "Install and start Docker, or name an engine in DOCKER_HOST."


def check_engine() -> Iterator[Finding]:
    """Yields the engine that workers of this environment use, with its base image and its disk."""
    if settings.RLM_SANDBOX == "process":
        advice = "Set RLM_SANDBOX=docker before models that you do not trust run code."
        yield warn("sandbox", "RLM_SANDBOX=process: code of models runs without isolation", advice=advice)
        return
    try:
        client = open_client()
    except SandboxError as error:
        if settings.RLM_SANDBOX == "docker":
            yield fail("sandbox engine", str(error), advice=INSTALL_ENGINE)
        else:
            found = f"{error}; code of models runs in plain processes without isolation"
            yield warn("sandbox engine", found, advice=INSTALL_ENGINE)
        return
    try:
        info: Mapping[str, Any] = client.info()
        yield ok(
            "sandbox engine", f"Docker {info.get('ServerVersion')}, {info.get('ContainersRunning')} containers run"
        )
        yield from _base_image(client)
        yield from _arm_images(client)
        yield from _engine_disk(Path(str(info.get("DockerRootDir", ""))))
    finally:
        client.close()


def _base_image(client: APIClient) -> Iterator[Finding]:
    wanted = SandboxSettings.from_environment(os.environ).base_image
    for name in (wanted, debian_base.tag()):
        if _has(client, name):
            yield ok("sandbox base image", name)
            return
    if shutil.which("mmdebstrap"):
        found = f"{wanted} is not on the engine; the first rollout pulls it, or builds one with mmdebstrap"
        yield warn(
            "sandbox base image", found, advice=f"Run `docker pull {wanted}` to save the first rollout the wait."
        )
    else:
        found = f"{wanted} is not on the engine, and mmdebstrap is not installed"
        yield warn(
            "sandbox base image", found, advice=f"Run `docker pull {wanted}`, or load an image of that name."
        )


def _arm_images(client: APIClient) -> Iterator[Finding]:
    """Yields the images of arms with rollouts to run."""
    unfinished = Rollout.objects.unfinished().values("arm")
    names = set(
        Arm.objects.filter(pk__in=unfinished).exclude(sandbox_image="").values_list("sandbox_image", flat=True)
    )
    missing = sorted(name for name in names if name != "process" and not _has(client, name))
    if missing:
        found = f"{len(missing)} of {len(names)} images of unfinished arms are not on the engine: {missing[0]}"
        advice = "Workers build them at first use. If packages cannot be reached from here, load the images."
        yield warn("sandbox images", found, advice=advice)
    elif names:
        yield ok("sandbox images", f"{len(names)} of unfinished arms present")


def _has(client: APIClient, name: str) -> bool:
    try:
        client.inspect_image(name)  # type: ignore[no-untyped-call]
    except docker.errors.APIError:
        return False
    return True


def _engine_disk(root: Path) -> Iterator[Finding]:
    if not root.is_dir():  # the engine is on another machine, or this process is in a container
        yield ok("sandbox disk", "not visible from here")
        return
    yield free_space_finding(
        "sandbox disk", root, advice="Run `docker image prune`, or move the engine's data-root."
    )
