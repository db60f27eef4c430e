"""Custom prompts, functions and packages."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from rlm_runs.engine import events as e
from rlm_runs.engine.environments.base import Settings
from rlm_runs.engine.scaffolds.llm import LlmSettings
from rlm_runs.engine.scaffolds.rlm_prompts import root_system_prompt
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from tests.engine.riddle import DONE, EXAMPLE, Riddle, ended, of, steps
from tests.scripted_server import cell, completion

FUNCTIONS = '''
import textwrap
WIDTH = 20

def shorten(text: str, width: int = WIDTH) -> str:
    """Cuts a text.

    At a space, where there is one.
    """
    return textwrap.shorten(text, width, placeholder="")

def _private():
    """Not told."""

def twice(x):
    return 2 * x
'''


def problem_of(**settings):
    with pytest.raises(ValidationError) as caught:
        RlmSettings(**settings)
    return caught.value.errors()[0]["msg"]


def test_functions_are_there_and_told(play):
    told = play(steps(cell("shorten('a b ' * 20), twice(21)"), DONE), settings=RlmSettings(functions=FUNCTIONS))
    first = of(told, e.ExecutionEnded)[0]
    assert first.out == "('a b a b a b a b a b', 42)"
    assert first.shown.startswith("Out[1]: ")
    system = play.requests[0]["messages"][0]["content"]
    assert (
        "- These functions are there already:\n"
        "  - `shorten(text: str, width: int=WIDTH) -> str`: Cuts a text.\n"
        "    \n"
        "    At a space, where there is one.\n"
        "  - `twice(x)`\n"
    ) in system
    assert "_private" not in system
    assert len(of(told, e.ExecutionEnded)) == 2


def test_functions_come_back_after_a_lost_state(play):
    told = play(
        steps(cell("import os; os._exit(3)"), cell("twice(21)"), DONE), settings=RlmSettings(functions=FUNCTIONS)
    )
    lost, after, _ = of(told, e.ExecutionEnded)
    assert lost.state_lost
    assert after.out == "42"


def test_sub_rlms_have_the_functions_too(play):
    def script(request):
        if "another one has called you" in request["messages"][0]["content"]:
            assert "`twice(x)`" in request["messages"][0]["content"]
            return cell("answer['content'] = str(twice(21)); answer['ready'] = True")
        return cell("answer['content'] = llm_batch(['a'])[0]; answer['ready'] = True")

    told = play(script, settings=RlmSettings(functions=FUNCTIONS, depth=2))
    assert ended(told).answer == "42"


def test_functions_that_fail_end_the_rollout_before_a_model_is_asked(play):
    told = play(steps(DONE), settings=RlmSettings(functions="x = 1\nx / 0"))
    end = ended(told)
    assert (end.stop_reason, end.reward, end.boundary) == ("functions_failed", None, "sandbox")
    assert "ZeroDivisionError: division by zero" in end.error
    assert "line 2" in end.error
    assert play.requests == []
    assert of(told, e.TrajectoryEnded)[0].stop_reason == "functions_failed"


def test_functions_that_hang_end_the_rollout(play):
    told = play(steps(DONE), settings=RlmSettings(functions="while True: pass", cell_time_limit=1))
    assert ended(told).stop_reason == "functions_failed"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(:\n  pass", "line 1: "),
        ("x = 1\nreturn x", "line 2: 'return' outside function"),
        ("x = '\0'", "null"),
        ("def llm_batch(prompts): ...", "must not define llm_batch"),
        ("import os as answer\ncontext = 1", "must not define answer, context"),
        ("(" * 500 + ")" * 500, ""),
    ],
)
def test_functions_that_cannot_run_are_refused_with_their_line(source, said):
    assert said in problem_of(functions=source)


def test_a_prompt_of_ones_own_replaces_ours(play):
    prompt = "Be brief. $context$sub_llms\n$packages\nIt costs $$1. $max_turns turns, ${cell_time_limit} s, "
    prompt += "$output_limit."
    told = play(steps(DONE), settings=RlmSettings(system_prompt=prompt, packages=["numpy"]))
    system = play.requests[0]["messages"][0]["content"]
    assert system.startswith(
        "Be brief. - `context` is a string of 11,000 characters: the input data of the task.\n- "
    )
    assert system.endswith("Installed: Python's standard library, numpy.\nIt costs $1. 30 turns, 120 s, 8,192.")
    assert ended(told).reward == 1.0


def test_the_plain_model_may_have_a_system_prompt_as_it_is_written(play):
    play(steps(completion("42")), settings=LlmSettings(system_prompt="It costs $5."))
    assert [m["role"] for m in play.requests[0]["messages"]] == ["system", "user"]
    assert play.requests[0]["messages"][0]["content"] == "It costs $5."
    play(steps(completion("42")), settings=LlmSettings())
    assert [m["role"] for m in play.requests[0]["messages"]] == ["user"]


@pytest.mark.parametrize("data", ["text", None])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_what_is_in_the_repl_is_a_list_without_gaps_that_says_how_many_calls_run_at_once(data, depth):
    example, settings = replace(EXAMPLE, input_data=data), RlmSettings(sub_parallelism=7, depth=depth)
    system = root_system_prompt(Riddle(Settings()), example, settings)
    listed = system.partition("What is in the REPL:\n")[2].partition("\n\n")[0]
    assert [line for line in listed.splitlines() if not line.lstrip().startswith("- ")] == []
    assert ("to a sub-LLM, 7 at a time, and" in listed) == (depth > 0)
    assert ("- `context` is a string of 4 characters" in listed) == (data is not None)
    assert "library. There is no network." in listed


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("costs $5", "write $$ for a $"),
        ("the $contxt", "unknown placeholders contxt; allowed: context, sub_llms"),
        ("$role", "unknown placeholders role"),
    ],
)
def test_placeholders_are_checked(prompt, said):
    assert said in problem_of(system_prompt=prompt)


def test_packages_are_told_with_their_descriptions(play, backend, monkeypatch):
    specs, start = [], backend.start
    monkeypatch.setattr(backend, "start", lambda spec: specs.append(spec) or start(spec))
    packages = {"numpy": "", "sympy": "exact algebra"}
    play(steps(DONE), settings=RlmSettings(packages=packages))
    assert "library, numpy, sympy (exact algebra). There" in play.requests[0]["messages"][0]["content"]
    assert specs[0].packages == ("numpy", "sympy")


@pytest.mark.parametrize(
    ("given", "kept"),
    [("numpy", {"numpy": ""}), (["a", "b>=2,<3"], {"a": "", "b>=2,<3": ""}), ({"a": "arrays"}, {"a": "arrays"})],
)
def test_packages_may_be_a_list_or_a_table(given, kept):
    assert LlmSettings(packages=given).packages == kept


@pytest.mark.parametrize("given", [["--index-url=x"], ["a\nb"], [""], [3], 7])
def test_what_is_no_requirement_is_refused(given):
    with pytest.raises(ValidationError):
        RlmSettings(packages=given)


def test_packages_of_environment_and_settings_are_one_set():
    assert RlmSettings(packages=["b", "a"]).all_packages(("a", "c")) == ("a", "c", "b")
