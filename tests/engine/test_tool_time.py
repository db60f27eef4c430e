"""A tool that hangs is reported and stored, and the rollout continues."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import ClassVar

import pytest

from rlm_runs.engine import events as e
from rlm_runs.engine import time_limit
from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.environments.base import Settings, Tool
from rlm_runs.engine.scaffolds.llm import LlmSettings
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from tests.engine.riddle import DONE, Riddle, ended, of, steps
from tests.scripted_server import cell, completion

PARAMETERS = {"type": "object", "properties": {}}
CALL = completion(calls=[("wait", {})])
FASTER = 0.1


class Slow(Riddle):
    """Its tool returns when the test releases it, or after a long time."""

    released: ClassVar[threading.Event]
    begun: ClassVar[threading.Event]

    def tools(self):
        def wait():
            self.begun.set()
            self.released.wait(30)
            return "late"

        return [Tool("wait", "Waits.", PARAMETERS, wait)]


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setattr(Slow, "released", threading.Event(), raising=False)
    monkeypatch.setattr(Slow, "begun", threading.Event(), raising=False)
    yield Slow(Settings())
    Slow.released.set()


def calls_of(told):
    names = {start.key: start.name for start in of(told, e.ExecutionStarted)}
    return [end for end in of(told, e.ExecutionEnded) if names[end.key] == "wait"]


def assert_told(told):
    (call,) = calls_of(told)
    assert call.shown == "Error: wait took longer than 0.1 s and was given up"
    assert (call.timed_out, call.error_type) == (True, "TimeLimit")
    assert call.error_message == "wait took longer than 0.1 s and was given up"
    assert ended(told).stop_reason in ("final_message", "answer_ready")


def test_inside_a_sub_llm(play, slow):
    def sub(request):
        last = request["messages"][-1]
        return completion(f"\\boxed{{it said {last['content']}}}") if last["role"] == "tool" else CALL

    script = steps(cell("print(llm_batch(['x', 'y'])[0])"), DONE, sub=sub)
    told = play(script, environment=slow, settings=RlmSettings(tool_time_limit=FASTER))
    assert [call.timed_out for call in calls_of(told)] == [True, True]
    assert "it said Error: wait took longer than 0.1 s" in of(told, e.ExecutionEnded)[-2].output
    assert ended(told).reward == 1.0


def test_in_the_loop_of_the_llm_scaffold(play, slow):
    told = play(steps(CALL, completion("42")), environment=slow, settings=LlmSettings(tool_time_limit=FASTER))
    assert_told(told)
    assert play.requests[1]["messages"][-1]["content"].startswith("Error: wait took longer")


def test_called_by_the_root_at_depth_0(play, slow):
    told = play(steps(CALL, DONE), environment=slow, settings=RlmSettings(depth=0, tool_time_limit=FASTER))
    assert_told(told)


@pytest.mark.parametrize("settings", [LlmSettings(), RlmSettings(depth=0)], ids=["llm", "depth 0"])
def test_a_rollout_that_is_stopped_does_not_wait_for_it(play, slow, settings):
    control = CancellationToken()
    threading.Thread(target=lambda: slow.begun.wait(30) and control.stop("cancelled"), daemon=True).start()
    told = play(steps(CALL, DONE), environment=slow, settings=settings, control=control)
    assert ended(told).stop_reason == "cancelled"
    assert [call.error_type for call in calls_of(told)] == ["Stopped"]


def test_a_sub_llm_whose_cell_is_over_does_not_wait_for_it(play, slow):
    told = play(
        steps(cell("llm_batch(['x'])"), DONE, sub=lambda _: CALL),
        environment=slow,
        settings=RlmSettings(cell_time_limit=1, tool_time_limit=600),
    )
    assert [s.stop_reason for s in of(told, e.TrajectoryEnded) if s.key != 0] == ["abandoned"]
    assert [call.error_type for call in calls_of(told)] == ["Stopped"]
    assert ended(told).reward == 1.0


@pytest.mark.parametrize("settings", [LlmSettings(tool_time_limit=FASTER), RlmSettings(tool_time_limit=FASTER)])
def test_only_the_rollouts_own_thread_records(play, slow, settings):
    told, threads = [], set()

    def record(events):
        threads.add(threading.get_ident())
        told.extend(events)

    def sub(request):
        return completion("x") if request["messages"][-1]["role"] == "tool" else CALL

    first = CALL if isinstance(settings, LlmSettings) else cell("llm_batch(['x'])")
    play(steps(first, DONE, completion("42"), sub=sub), environment=slow, settings=settings, record=record)
    assert [call.timed_out for call in calls_of(told)] == [True]
    assert threads == {threading.get_ident()}


def test_an_error_of_the_recorder_is_no_failure_of_the_tool(play, slow):
    told = []

    def record(events):
        if any(isinstance(event, e.ExecutionStarted) for event in events):
            raise LookupError("no row")
        told.extend(events)

    play(steps(CALL, completion("42")), environment=slow, settings=LlmSettings(), record=record)
    assert (ended(told).stop_reason, ended(told).error) == ("internal_error", "LookupError: no row")


def test_what_is_no_text_and_what_ends_a_thread_are_told_too(play):
    class Odd(Riddle):
        def tools(self):
            def leave():
                raise SystemExit("bye")

            return [Tool("leave", "Leaves.", PARAMETERS, leave), Tool("count", "Counts.", PARAMETERS, lambda: 7)]

    script = steps(completion(calls=[("leave", {}), ("count", {})]), completion("42"))
    told = play(script, environment=Odd(Settings()), settings=LlmSettings())
    left, counted = of(told, e.ExecutionEnded)
    assert (left.shown, left.error_type) == ("Error: bye", "SystemExit")
    assert counted.shown == "Error: count returned no text, but int"
    assert ended(told).reward == 1.0


def test_an_error_that_says_cancelled_or_timeout_is_the_tools_own(play):
    class Odd(Riddle):
        def tools(self):
            def leave(how):
                raise {"cancelled": CancelledError, "timeout": TimeoutError}[how]

            return [Tool("leave", "Leaves.", PARAMETERS, leave)]

    calls = completion(calls=[("leave", {"how": "cancelled"}), ("leave", {"how": "timeout"})])
    told = play(steps(calls, completion("42")), environment=Odd(Settings()), settings=LlmSettings())
    ends = of(told, e.ExecutionEnded)
    assert [(end.shown, end.timed_out) for end in ends] == [
        ("Error: CancelledError", False),
        ("Error: TimeoutError", False),
    ]


def test_threads_that_hang_do_not_become_ever_more(play, slow, monkeypatch):
    monkeypatch.setattr(time_limit, "_LEFT", time_limit._AbandonedThreads())
    monkeypatch.setattr(time_limit, "MOST_LEFT_BEHIND", 2)
    settings = LlmSettings(tool_time_limit=FASTER)
    told = play(steps(CALL, CALL, CALL, completion("42")), environment=slow, settings=settings)
    assert [call.error_type for call in calls_of(told)] == ["TimeLimit", "TimeLimit", "TooManyHang"]
    assert "too many calls before it still hang" in calls_of(told)[2].shown
    slow.released.set()
    for thread in list(time_limit._LEFT._threads):
        thread.join()
    assert time_limit._LEFT.count() == 0
