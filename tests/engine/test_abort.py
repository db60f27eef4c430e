"""Stopping a rollout while a model is asked: the call is aborted at once, and its turn has an unknown cost."""

from __future__ import annotations

import threading
import time

import pytest

from rlm_runs.engine import events as e
from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.environments.base import Example, Settings
from rlm_runs.engine.errors import Stopped
from rlm_runs.engine.scaffolds.llm import LlmSettings
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from tests.engine.riddle import PlainRiddle, ended, is_sub, of
from tests.scripted_server import Held, cell, completion


class JudgedRiddle(PlainRiddle):
    def judge_prompt(self, example: Example, answer: str) -> str:
        return f"ground truth: {example.answer}; answer: {answer}"


def root_waits(request):
    return Held(60)


def subs_wait(request):
    return Held(60) if is_sub(request) else cell("llm_batch(['a', 'b', 'c'])")


def judge_waits(request):
    return completion("42") if request["messages"][0]["role"] == "user" else Held(60)


CASES = {
    "root": (root_waits, RlmSettings(), None, 1),
    "sub": (subs_wait, RlmSettings(), None, 3),
    "sub at depth 2": (
        lambda request: Held(60) if is_sub(request) else cell("llm_batch(['a'])"),
        RlmSettings(depth=2),
        None,
        1,
    ),
    "judge": (judge_waits, LlmSettings(max_tokens=1), JudgedRiddle(Settings()), 1),
}


def _failed(told):
    return [turn for turn in of(told, e.TurnEnded) if turn.error]


@pytest.mark.parametrize("reason", ["cancelled", "interrupted"])
@pytest.mark.parametrize("case", CASES)
def test_calls_in_flight_end_with_the_rollout(play, case, reason):
    script, settings, environment, in_flight = CASES[case]
    control, told, stopped_at = CancellationToken(), [], []
    held = []

    def stop_when_all_wait(request):
        answer = script(request)
        if isinstance(answer, Held):
            held.append(request)
            if len(held) == in_flight:
                threading.Timer(0.3, stop).start()
        return answer

    def stop():
        stopped_at.append(time.monotonic())
        control.stop(reason)

    def run():
        play(stop_when_all_wait, settings=settings, environment=environment, control=control, record=told.extend)

    if reason == "interrupted":
        with pytest.raises(Stopped):
            run()
    else:
        run()
        assert (ended(told).stop_reason, ended(told).boundary) == ("cancelled", "control")
    assert time.monotonic() - stopped_at[0] < 30
    until = time.monotonic() + 10
    while time.monotonic() < until and min(len(_failed(told)), len(play.disconnects)) < in_flight:
        time.sleep(0.02)  # another thread tells of the call, and the server sees its end
    aborted = _failed(told)
    assert len(aborted) == in_flight
    for turn in aborted:
        assert turn.error == f"the rollout was {reason}"
        assert (turn.cost, turn.usage.prompt) == (None, None)
        assert turn.seconds < 30
    assert len(play.disconnects) == in_flight
