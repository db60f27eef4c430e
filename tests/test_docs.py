"""What the docs promise to list is listed, and nothing of one machine is in the tree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_READS = re.compile(r"""(?:environ\.get|_flag|_integer|_names)\(\s*"([A-Z_]+)\"""")


def test_every_variable_of_the_settings_is_documented():
    names = set(_READS.findall((ROOT / "rlm_runs/settings.py").read_text()))
    assert len(names) > 10
    documented = (ROOT / "docs/architecture.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in documented] == []


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_what_a_page_links_to_is_there(page):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    assert links
    there = (ROOT / page).parent
    assert [link for link in links if "://" not in link and not (there / link).exists()] == []


def test_the_locks_name_no_index():
    for lock in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / lock).read_text()
        assert "://" not in text
        assert "--hash=sha256:" in text


def test_no_file_is_large():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    sizes = {name: (ROOT / name).stat().st_size for name in listed.stdout.split("\0") if name}
    assert [name for name, size in sizes.items() if size > 1_000_000] == []
