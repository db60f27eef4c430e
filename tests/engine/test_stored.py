"""Stored rollouts: the tree nests, sums match, and every sent prompt can be derived."""

from __future__ import annotations

import threading
from io import StringIO

import pytest
from django.core.management import call_command

from rlm_runs.analysis.transcripts import prompt_of
from rlm_runs.engine.clients.text_tools import as_text
from rlm_runs.engine.environments.base import Settings, Tool
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from rlm_runs.execution.recorder import Recorder
from rlm_runs.models import Execution, Rollout, Trajectory, Turn
from tests.engine.riddle import Riddle, is_sub
from tests.scripted_server import cell, completion

from ..execution.conftest import arm, experiment, make_rollout, rollout  # noqa: F401

pytestmark = pytest.mark.django_db

TWO = 'a = llm_batch([context[:9] + "!", context[:9] + "?"]); answer["content"] = " ".join(a)'
READY = 'answer["ready"] = True'


def native(request):
    if is_sub(request):
        if request["messages"][-1]["role"] == "tool":
            return completion("\\boxed{leaf}")
        return completion("I look.", calls=[("look_up", {"word": "x"})])
    return cell(TWO if len(request["messages"]) == 2 else READY)


def in_text(request):
    first = len(request["messages"]) == 2
    if is_sub(request):
        look_up = 'I look.\n```tool\n{"name": "look_up", "arguments": {"word": "x"}}\n```'
        return completion(look_up if first else "\\boxed{leaf}")
    return completion(f"So.\n```repl\n{TWO}\n```\n" if first else f"```repl\n{READY}\n```\nDone.")


@pytest.mark.parametrize(("script", "text_tools"), [(native, False), (in_text, True)])
def test_a_rollout_of_depth_three_is_stored_as_it_was(play, rollout, script, text_tools):  # noqa: F811
    play(
        script,
        settings=RlmSettings(depth=3, sub_parallelism=1),
        text_tools=text_tools,
        record=Recorder(rollout).record_all,
    )
    rollout.refresh_from_db()
    assert rollout.status == Rollout.Status.COMPLETED
    assert (rollout.sub_calls, rollout.batches, rollout.turns) == (14, 7, 2)
    trajectories = list(Trajectory.objects.select_related("parent__turn__trajectory"))
    assert sorted(row.depth for row in trajectories) == [0] + [1] * 2 + [2] * 4 + [3] * 8
    for row in trajectories:
        above = row.parent.turn.trajectory.depth if row.parent else -1
        assert (row.depth, row.finished_at is not None) == (above + 1, True)
    # One call at a time: requests came in the order in which their turns ended.
    turns = list(Turn.objects.select_related("trajectory").order_by("pk"))
    assert len(turns) == len(play.requests) == 14 + 16
    for turn, request in zip(turns, play.requests, strict=True):
        prompt = prompt_of(turn)
        assert request["messages"] == (as_text(prompt, turn.trajectory.tools) if text_tools else prompt)
    call_command("check_store", stdout=StringIO())


def test_a_tool_that_hangs_inside_a_sub_llm_is_stored_as_timed_out(play, rollout):  # noqa: F811
    released = threading.Event()

    class Hanging(Riddle):
        def tools(self):
            return [Tool("look_up", "Hangs.", {"type": "object"}, lambda word: str(released.wait(30)))]

    play(
        native,
        environment=Hanging(Settings()),
        settings=RlmSettings(tool_time_limit=0.1),
        record=Recorder(rollout).record_all,
    )
    released.set()
    rollout.refresh_from_db()
    assert (rollout.status, rollout.stop_reason, rollout.tool_calls) == ("completed", "answer_ready", 2)
    calls = list(Execution.objects.filter(kind="tool"))
    assert [(call.timed_out, call.error_type) for call in calls] == [(True, "TimeLimit")] * 2
    told = "Error: look_up took longer than 0.1 s and was given up"
    for turn in Turn.objects.filter(trajectory__kind="sub", index=1):
        assert prompt_of(turn)[-1] == {"role": "tool", "tool_call_id": "call_0", "content": told}
    call_command("check_store", stdout=StringIO())
