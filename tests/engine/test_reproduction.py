"""A recorded rollout is executed again without models and tools, and differences are found where they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlm_runs.engine import events as e
from rlm_runs.engine.environments.base import Settings
from rlm_runs.engine.recording import Recording
from rlm_runs.engine.reproduction import reproduce
from rlm_runs.engine.rollout import RolloutPlan
from rlm_runs.engine.scaffolds import registry
from rlm_runs.engine.scaffolds.llm import LlmSettings
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from tests.engine.riddle import EXAMPLE, Riddle, is_sub, of
from tests.engine.test_resume import CELLS, script
from tests.scripted_server import cell, completion


@pytest.fixture
def again(backend):
    """Reproduces events."""

    def run(told, *, settings=None):
        class NoTools(Riddle):
            def tools(self):
                return [replace(tool, call=self._refuse) for tool in super().tools()]

            def _refuse(self, **_):
                raise AssertionError("a tool was called")

        plan = RolloutPlan(
            environment=NoTools(Settings()),
            example=EXAMPLE,
            scaffold=registry.of_settings(settings or RlmSettings()),
            model="m",
            sub_model="m",
            recording=Recording.of(told),
        )
        return reproduce(plan, backend=backend)

    return run


def test_a_rollout_that_can_be_reproduced(play, again):
    told = play(script)
    found = again(told)
    assert found.differences == []
    assert found.cells == len(CELLS) + 1


def test_every_cell_that_differs_is_told(play, again):
    told = play(script)
    ends = [event for event in of(told, e.ExecutionEnded) if event.answer is not None]
    told[told.index(ends[0])] = replace(ends[0], output="something else\n")
    told[told.index(ends[4])] = replace(ends[4], answer="another draft")
    found = again(told)
    assert [(one.turn, one.cell, one.what) for one in found.differences] == [
        (1, 1, "printed something else"),
        (5, 5, "left another answer"),
    ]
    assert found.differences[0].recorded == "something else\n"
    assert found.differences[0].now == "11000\n"


def test_cells_of_sub_llms_are_executed_again(play, again):
    def talk(request):
        if is_sub(request):
            return completion("\\boxed{leaf}")
        if "another one has called you" in request["messages"][0]["content"]:
            return cell("answer['content'] = llm_batch(['deep'])[0]\nanswer['ready'] = True\nprint('below')")
        return cell("answer['content'] = llm_batch(['x'])[0]\nanswer['ready'] = True")

    settings = RlmSettings(depth=2)
    told = play(talk, settings=settings)
    assert again(told, settings=settings).differences == []
    below = next(event for event in of(told, e.ExecutionEnded) if "below" in event.output)
    told[told.index(below)] = replace(below, output="x" + below.output)
    (found,) = again(told, settings=settings).differences
    assert (found.depth, found.cell, found.what) == (1, 1, "printed something else")


def test_a_rollout_that_was_cut_off_is_reproduced_as_far_as_it_goes(play, again):
    told = play(script)
    cells = [event for event in of(told, e.ExecutionEnded) if event.answer is not None]
    found = again(told[: told.index(cells[3]) + 1])
    assert (found.cells, found.differences) == (4, [])


def test_a_call_that_is_not_recorded_is_a_difference(play, again):
    def talk(request):
        if is_sub(request):
            return completion("\\boxed{x}")
        return cell("import os\nllm_batch(['a'] * (1 + ('EXTRA' in globals())))\nanswer['ready'] = True")

    told = play(talk)
    started = of(told, e.TurnEnded)
    root = next(turn for turn in started if turn.tool_calls)
    call = root.tool_calls[0]
    changed = replace(call, arguments=call.arguments.replace("import os", "EXTRA = 1"))
    told[told.index(root)] = replace(root, tool_calls=[changed])
    found = again(told)
    assert [one.what for one in found.differences] == [
        "a sub-LLM was asked that was not asked before",
        "printed something else",
    ]


def test_a_plain_model_has_nothing_to_execute(play, again):
    def talk(request):
        turns = sum(message["role"] == "assistant" for message in request["messages"])
        return completion("42") if turns else completion(calls=[("look_up", {"word": "x"})])

    told = play(talk, settings=LlmSettings())
    found = again(told, settings=LlmSettings())
    assert (found.cells, found.differences) == (0, [])
