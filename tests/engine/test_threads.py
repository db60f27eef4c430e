"""Every thread of a rollout has the context variables of the thread that began it."""

from __future__ import annotations

from contextvars import ContextVar

import pytest

from rlm_runs.engine.environments.base import Settings, Tool
from rlm_runs.engine.threads import ContextExecutor
from tests.engine.riddle import DONE, Riddle, steps
from tests.scripted_server import cell, completion

number: ContextVar[int] = ContextVar("number", default=0)


@pytest.fixture
def bound():
    token = number.set(7)
    yield
    number.reset(token)


def test_a_call_sees_the_context_of_its_submission(bound):
    with ContextExecutor(1) as pool:
        first = pool.submit(number.get)
        number.set(8)
        assert (first.result(), pool.submit(number.get).result()) == (7, 8)


def test_a_call_changes_no_context_but_its_own(bound):
    with ContextExecutor(1) as pool:
        pool.submit(number.set, 9).result()
        assert pool.submit(number.get).result() == 7
    assert number.get() == 7


def test_tools_of_sub_llms_see_the_context_of_the_rollout(play, bound):
    seen = []

    class Listening(Riddle):
        def tools(self):
            schema = {"type": "object", "properties": {}}
            return [Tool("look_up", "Looks up.", schema, lambda: str(seen.append(number.get())))]

    def sub(request):
        if request["messages"][-1]["role"] == "tool":
            return completion("done")
        return completion(calls=[("look_up", {})])

    play(steps(cell("llm_batch(['a', 'b'])"), DONE, sub=sub), environment=Listening(Settings()))
    assert seen == [7, 7]
