"""Checks of disk space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from .findings import Finding, fail, ok, warn

_GB = 1e9
FAIL_BELOW_GB = 0.5
WARN_BELOW_GB = 5.0


def check_var() -> Iterator[Finding]:
    """Yields the folder of embedded data, logs and builds."""
    folder = Path(settings.VAR_DIR)
    if not os.access(folder, os.W_OK):
        yield fail("var", f"{folder} is not writable", advice="Correct its owner, or set RLM_VAR_DIR.")
        return
    yield free_space_finding("var", folder, advice="Free space, or set RLM_VAR_DIR to a larger disk.")


def free_space_finding(subject: str, folder: Path, *, advice: str) -> Finding:
    """Returns a finding about the free space of the disk that holds `folder`."""
    free = shutil.disk_usage(folder).free / _GB
    found = f"{free:,.1f} GB free at {folder}"
    if free < FAIL_BELOW_GB:
        return fail(subject, found, advice=advice)
    return warn(subject, found, advice=advice) if free < WARN_BELOW_GB else ok(subject, found)
