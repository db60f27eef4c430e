"""A stored attempt comes back as the events that were recorded, and its keys name its rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlm_runs.analysis.stored_traces import stored_trace
from rlm_runs.engine import events as e
from rlm_runs.engine.environments.base import Settings
from rlm_runs.engine.recording import Recording
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from rlm_runs.execution.recorder import Recorder
from rlm_runs.models import Execution, Trajectory, Turn
from tests.engine.conftest import backend, play  # noqa: F401
from tests.engine.riddle import Riddle, is_sub
from tests.execution.test_recorder import rlm_rollout
from tests.scripted_server import cell, completion

pytestmark = pytest.mark.django_db


def script(request):
    if is_sub(request):
        if len(request["messages"]) == 2:
            return completion(calls=[("look_up", {"word": "\x00"}), ("look_up", "{broken")])
        return completion("\\boxed{\ud83d\ude00 \x1a}")
    if len(request["messages"]) == 2:
        return completion(
            "two cells", calls=[("call_python_repl", {"code": "x = llm_batch(['a', 'b'])"}), ("fly", {})]
        )
    return cell("print(x, '\\x00')\nanswer['content'] = '42'\nanswer['ready'] = True")


def by_place(events):
    """The events by what they are about, with keys that count from 0 in the order of their kind."""
    keys = {}
    for kind in (e.TrajectoryStarted, e.ExecutionStarted):
        for event in sorted((event for event in events if isinstance(event, kind)), key=lambda event: event.at):
            keys[event.key] = len(keys)
    found = []
    for event in events:
        if isinstance(event, e.TurnEnded):
            found.append(replace(event, trajectory=keys[event.trajectory]))
        elif isinstance(event, e.ExecutionStarted):
            found.append(replace(event, key=keys[event.key], trajectory=keys[event.trajectory]))
        elif isinstance(event, e.TrajectoryStarted):
            parent = None if event.parent is None else keys[event.parent]
            found.append(replace(event, key=keys[event.key], parent=parent))
        elif not isinstance(event, e.RolloutStarted | e.RolloutEnded):
            found.append(replace(event, key=keys[event.key]))
    return sorted(map(plain, found), key=repr)


def plain(event):
    """Tuples and lists are the same."""
    lists = {name: list(value) for name, value in vars(event).items() if isinstance(value, list | tuple)}
    return replace(event, **lists)


def test_what_was_recorded_comes_back(play, rollout):  # noqa: F811
    told = play(script, settings=RlmSettings(), environment=Riddle(Settings()))
    Recorder(rollout).record_all(told)
    trace = stored_trace(rollout, attempt=rollout.attempt)
    assert by_place(trace.events) == by_place(told)
    assert Recording.of(told).spent == Recording.of(trace.events).spent


def test_keys_name_the_rows(rollout):
    Recorder(rollout).record_all(list(rlm_rollout())[:8])
    trace = stored_trace(rollout, attempt=rollout.attempt)
    assert sorted(trace.trajectories.values()) == sorted(Trajectory.objects.values_list("pk", flat=True))
    assert sorted(trace.turns.values()) == sorted(Turn.objects.values_list("pk", flat=True))
    assert sorted(trace.executions.values()) == sorted(Execution.objects.values_list("pk", flat=True))
    (started,) = [event for event in trace.events if isinstance(event, e.ExecutionStarted)]
    assert Execution.objects.get(pk=trace.executions[started.key]).arguments_id


def test_a_call_that_had_not_begun_is_there(rollout):
    Recorder(rollout).record_all(list(rlm_rollout())[:3])
    (turn,) = [event for event in stored_trace(rollout, attempt=1).events if isinstance(event, e.TurnEnded)]
    assert turn.tool_calls == [e.ToolCall("c", "call_python_repl", "{}")]


def test_the_events_of_a_recording_can_be_recorded(rollout, make_rollout):
    Recorder(rollout).record_all(list(rlm_rollout())[:-1])
    first = stored_trace(rollout, attempt=1)
    copy = make_rollout()
    Recorder(copy).record_all(Recording.of(first.events).events())
    assert by_place(stored_trace(copy, attempt=1).events) == by_place(first.events)
