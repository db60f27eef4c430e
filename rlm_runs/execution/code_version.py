"""The version of this program: the commit of its checkout, else the version of its package."""

from __future__ import annotations

import os
import subprocess
import tomllib
from functools import cache
from pathlib import Path

from django.conf import settings


@cache
def code_version() -> str:
    """Returns the commit (40 digits, with a `+` if tracked files differ from it), or a version such as `0.1.0`.

    RLM_CODE_VERSION, which images set, overrides both. The result is cached for the life of the process, because
    changed files do not change the code that it runs.
    """
    if given := os.environ.get("RLM_CODE_VERSION"):
        return given
    root = Path(settings.BASE_DIR)
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    if commit is None:
        return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return commit + ("" if changes == "" else "+")


def _git(root: Path, *arguments: str) -> str | None:
    """Returns the output of git; None if git is missing or does not trust the folder."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
