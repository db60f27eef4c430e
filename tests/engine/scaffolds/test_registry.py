"""The registry is the only list of scaffolds; it also answers for scaffolds of imports."""

import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from rlm_runs.engine.scaffolds import custom, looks, registry
from rlm_runs.engine.scaffolds.base import Mark, Scaffold
from rlm_runs.engine.scaffolds.custom import CustomScaffoldError
from rlm_runs.engine.scaffolds.registry import REGISTRY

ROOT = Path(__file__).parents[3]
GOOD = """
from rlm_runs.engine.conversation import ConversationResult
from rlm_runs.engine.scaffolds.base import Scaffold
from rlm_runs.engine.scaffolds.settings import ScaffoldSettings

class Silent(Scaffold[ScaffoldSettings]):
    key = "silent"
    title = "Silent"
    description = "Says nothing."
    settings_type = ScaffoldSettings

    def run(self, task):
        return ConversationResult("", "final_message")
"""


def test_marks_and_colours_are_those_of_the_design():
    looks_of = {key: (registry.mark(key).glyph, registry.colours()[key]) for key in ("llm", "rlm", "rlm_tips")}
    assert looks_of == {"llm": ("●", "#d55e00"), "rlm": ("■", "#0072b2"), "rlm_tips": ("▲", "#009e73")}


def test_an_unknown_scaffold_is_its_name_and_nothing_is_supposed_of_it():
    assert registry.title("tree_of_thoughts") == "tree_of_thoughts"
    assert registry.mark("tree_of_thoughts") == Mark("◆", "diamond")
    assert registry.place("tree_of_thoughts") == len(REGISTRY)
    assert not registry.is_baseline("tree_of_thoughts")
    assert not registry.submits_answer("tree_of_thoughts")
    assert registry.sub_llm_levels("tree_of_thoughts", {"depth": 3}) == 0


@pytest.mark.parametrize(
    ("key", "settings", "levels"),
    [("llm", {"depth": 2}, 0), ("rlm", {}, 1), ("rlm", {"depth": 0}, 0), ("rlm_tips", {"depth": 3}, 3)],
)
def test_levels_of_sub_llms_come_from_stored_settings(key, settings, levels):
    assert registry.sub_llm_levels(key, settings) == levels


@pytest.mark.parametrize(("name", "key"), [("standard", "llm"), ("rlm+tips", "rlm_tips"), ("react", "react")])
def test_names_of_other_tools_are_known(name, key):
    assert registry.named_in_files(name) == key


def test_generated_colours_are_readable_on_both_pages_and_differ():
    colours = list(islice(looks.free_colours({"#d55e00", "#0072b2", "#009e73"}), 20))
    assert len(set(colours)) == 20
    assert all(looks.contrast(colour, paper) >= 3 for colour in colours for paper in ("#ffffff", "#131518"))


def test_contrast_is_that_of_wcag():
    assert looks.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert looks.contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_marks_run_out_only_after_all_are_used():
    taken = {Mark("●", "circle")}
    marks = list(islice(looks.free_marks(taken), len(looks.MARKS)))
    assert len(set(marks)) == len(looks.MARKS)


def test_a_file_of_the_folder_is_a_scaffold(tmp_path, monkeypatch):
    (tmp_path / "silent.py").write_text(GOOD)
    monkeypatch.setenv("RLM_SCAFFOLDS_DIR", str(tmp_path))
    scaffolds = dict(REGISTRY)
    custom.add_to(scaffolds)
    assert list(scaffolds) == [*REGISTRY, "silent"]
    assert issubclass(scaffolds["silent"], Scaffold)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('key = "silent"', 'key = "rlm"', "there is a scaffold 'rlm' already"),
        ('key = "silent"', 'key = "Si lent"', "its key 'Si lent' is reserved, or not up to 40"),
        ('key = "silent"', 'key = "paper"', "its key 'paper' is reserved"),
        ('title = "Silent"', "", "it has no title"),
        ("    settings_type = ScaffoldSettings", "", "its settings_type is no subclass"),
        ("    def run(self", "    def walk(self", "it lacks run"),
        ('key = "silent"', 'key = "silent"; colour = "red"', "its colour 'red' is not of the form"),
        ('key = "silent"', "key = 1 / 0", r"ZeroDivisionError: division by zero \(line 7\)"),
        ("class Silent(Scaffold[ScaffoldSettings])", "class Silent", "defines no subclass of Scaffold"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path, monkeypatch, old, new, says):
    path = tmp_path / "silent.py"
    path.write_text(GOOD.replace(old, new))
    monkeypatch.setenv("RLM_SCAFFOLDS_DIR", str(tmp_path))
    with pytest.raises(CustomScaffoldError, match=says) as caught:
        custom.add_to(dict(REGISTRY))
    assert str(path) in str(caught.value)


def test_custom_scaffolds_reach_the_launch_form_and_the_stylesheet(tmp_path):
    """Runs in its own process, because the registry is made at import."""
    (tmp_path / "silent.py").write_text(GOOD)
    code = (
        "import django; django.setup()\n"
        "from django.http import QueryDict\n"
        "from dashboard import scaffold_stylesheet\n"
        "from dashboard.launch.form import page\n"
        "print([choice.title for choice in page(QueryDict()).scaffolds])\n"
        "print(scaffold_stylesheet.css())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            **os.environ,
            "RLM_SCAFFOLDS_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "rlm_runs.settings",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "['LLM', 'RLM', 'RLM+tips', 'Silent']" in done.stdout
    assert "--silent: #" in done.stdout
    assert ".scaffold-silent .mark { color: var(--silent); }" in done.stdout


def test_keys_that_the_stylesheet_uses_otherwise_are_reserved():
    sheets = (ROOT / "dashboard/static/dashboard").glob("*.css")
    css = "".join(sheet.read_text() for sheet in sheets)
    properties = set(re.findall(r"--([a-z0-9_]+)\s*:", css))
    assert properties <= custom._RESERVED


def test_nothing_else_lists_scaffolds():
    """No program text outside the scaffolds' own folder names one; the simulated model plays by its prompts."""
    allowed = ("rlm_runs/engine/scaffolds/", "rlm_runs/migrations/", "rlm_runs/demo/")
    files = [
        *ROOT.glob("rlm_runs/**/*.py"),
        *ROOT.glob("dashboard/**/*.py"),
        *ROOT.glob("dashboard/static/**/*.[cj]s*"),
        *ROOT.glob("templates/**/*.html"),
    ]
    naming = [
        str(path.relative_to(ROOT))
        for path in files
        if re.search(r"(?<!import )(?<!scaffolds\.)rlm_tips", path.read_text())
        and not str(path.relative_to(ROOT)).startswith(allowed)
    ]
    assert naming == []
