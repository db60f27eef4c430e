"""A base image from Debian packages, for machines that cannot pull one. It imports a tree made by mmdebstrap.

All packages come from the default mirrors of the machine's own apt.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO

import docker.errors
from docker.api.client import APIClient

from sandbox.contract import ImageError

logger = logging.getLogger(__name__)

REPOSITORY = "rlm-sandbox-base"
_PACKAGES = "python3,python3-pip,ca-certificates"
_DEFAULT_SUITE = "stable"


def suite() -> str:
    """Returns the Debian release of this machine, whose keys are installed; a default on other systems."""
    try:
        told = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    except OSError:
        return _DEFAULT_SUITE
    name = told.get("VERSION_CODENAME", "").strip('"')
    return name if told.get("ID") == "debian" and name else _DEFAULT_SUITE


def tag() -> str:
    return f"{REPOSITORY}:debian-{suite()}"


def build(client: APIClient, *, log: Path) -> str:
    """Builds and imports the base image. Returns its tag. Raises ImageError."""
    program = shutil.which("mmdebstrap")
    if program is None:
        raise ImageError(
            "there is no base image: it is neither on the engine nor to be pulled, and mmdebstrap, with which"
            " one could be built from Debian packages, is not installed. Install mmdebstrap, load an image"
            " and name it in SANDBOX_BASE_IMAGE, or use the process sandbox."
        )
    command = [program, "--variant=apt", f"--include={_PACKAGES}", suite(), "-"]
    logger.info("building the sandbox's base image: %s", " ".join(command))
    with log.open("ab") as errors, tempfile.TemporaryFile() as tree:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=tree, stderr=errors, check=False)
        if done.returncode:
            told = log.read_text(errors="replace")
            raise ImageError(f"mmdebstrap failed with status {done.returncode}; see {log}", log=told)
        tree.seek(0)
        try:
            _import(client, tree)
        except docker.errors.APIError as error:
            raise ImageError(f"the base image could not be imported: {error}") from error
    return tag()


def _import(client: APIClient, tree: IO[bytes]) -> None:
    repository, _, name = tag().partition(":")
    client.import_image_from_data(tree, repository=repository, tag=name)
