"""Docs list what they promise, and the tree names no single machine."""

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


PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
_TERMS = (
    *("environment", "example", "scaffold", "arm", "experiment", "rollout", "attempt", "trajectory", "turn"),
    *("execution", "cell", "tool call", "batch", "sandbox"),
)


def test_every_term_of_the_design_is_in_the_glossary():
    glossary = (ROOT / "docs/glossary.md").read_text()
    assert [term for term in _TERMS if f"| **{term}** |" not in glossary] == []


def test_the_glossary_names_modules_that_exist():
    named = re.findall(r"`((?:engine|execution|analysis)(?:\.[a-z_]+)+)", (ROOT / "docs/glossary.md").read_text())
    paths = [ROOT / "rlm_runs" / name.replace(".", "/") for name in named]
    assert len(paths) > 10
    missing = [path for path in paths if not (path.is_dir() or path.with_suffix(".py").exists())]
    # A name may go on to a function of a module.
    assert [path for path in missing if not path.parent.with_suffix(".py").exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_is_there(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    roots = (
        "rlm_runs/",
        "dashboard/",
        "templates/",
        "tests/",
        "bench/",
        "docs/",
        "sandbox/",
        "specs/",
        "scripts/",
    )
    named = [name for name in re.findall(r"`([^`\s<>…*]+)`", text) if name.startswith(roots)]
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if "](" in (ROOT / page).read_text()])
def test_what_a_page_links_to_is_there(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text())
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
