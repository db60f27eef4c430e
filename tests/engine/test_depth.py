"""Sub-LLMs at every depth: none, plain models, RLMs that call RLMs. The host enforces the depth."""

from __future__ import annotations

import threading
import time

import pytest
from pydantic import ValidationError

from rlm_runs.engine import events as e
from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.environments.base import Settings
from rlm_runs.engine.rollout import RolloutPlan
from rlm_runs.engine.scaffolds import registry
from rlm_runs.engine.scaffolds.llm import LlmSettings
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from tests.engine.riddle import DONE, EXAMPLE, PlainRiddle, ended, is_sub, of, steps
from tests.scripted_server import Reply, cell, completion, error_body


def is_sub_rlm(request):
    return "another one has called you" in request["messages"][0]["content"]


def is_first(request):
    return len(request["messages"]) == 2


def by_role(*, root, sub_rlm, leaf=lambda _: completion("\\boxed{leaf}")):
    """A script whose RLMs run the same cell first and return its `answer`."""

    def script(request):
        if is_sub(request):
            return leaf(request)
        first = sub_rlm if is_sub_rlm(request) else root
        return cell(first) if is_first(request) else cell('answer["ready"] = True')

    return script


PASS_ON = 'answer["content"] = "<" + llm_batch([context + "!"])[0] + ">"'


def test_without_sub_llms_the_root_has_the_tools_itself(play):
    calls = completion(calls=[("look_up", {"word": "x"}), ("call_python_repl", {"code": "llm_batch(['a'])"})])
    told = play(steps(calls, completion(calls=[("fly", {})]), DONE), settings=RlmSettings(depth=0))
    request = play.requests[0]
    assert [tool["function"]["name"] for tool in request["tools"]] == ["call_python_repl", "look_up"]
    assert "There are no sub-LLMs" in request["messages"][0]["content"]
    assert "in parallel" not in request["messages"][0]["content"]
    tool, batch, unknown, _ = of(told, e.ExecutionEnded)
    assert tool.shown == "x means 42"
    assert (batch.error_type, "sub-LLM" in batch.error_message) == ("RuntimeError", True)
    assert "there is no tool 'fly'; there is call_python_repl, look_up" in unknown.shown
    assert [event.kind for event in of(told, e.ExecutionStarted)] == ["tool", "cell", "tool", "cell"]
    assert [event.kind for event in of(told, e.TrajectoryStarted)] == ["root"]
    assert ended(told).reward == 1.0


def test_a_sub_llm_above_the_last_level_is_an_rlm_itself(play):
    code = 'answer["content"] = llm_batch(["what?"])[0]'
    told = play(by_role(root=code, sub_rlm=PASS_ON), settings=RlmSettings(depth=2))
    assert (ended(told).stop_reason, ended(told).answer) == ("answer_ready", "<leaf>")
    sub_rlm = next(request for request in play.requests if is_sub_rlm(request))
    assert [tool["function"]["name"] for tool in sub_rlm["tools"]] == ["call_python_repl"]
    assert "`context` is a string of 5 characters" in sub_rlm["messages"][0]["content"]
    assert "Sub-LLMs can call `look_up`" in sub_rlm["messages"][0]["content"]
    assert "at most 10 turns" in sub_rlm["messages"][0]["content"]
    root = play.requests[0]["messages"][0]["content"]
    assert "Each sub-LLM is a Recursive Language Model itself" in root
    assert "Sub-LLMs of the last level, whom yours call, can call `look_up`: Looks a word up." in root
    leaf = next(request for request in play.requests if is_sub(request))
    assert leaf["messages"][1]["content"] == "what?!"
    assert [tool["function"]["name"] for tool in leaf["tools"]] == ["look_up"]
    assert "1 tool calls" not in of(told, e.ExecutionEnded)[0].output
    assert ": 30 tokens, 2 tool calls, " in of(told, e.ExecutionEnded)[-2].output


def test_at_depth_three_with_one_call_at_a_time_nothing_waits_for_ever(play):
    busy, most = [], []

    def leaf(request):
        busy.append(1)
        most.append(len(busy))
        time.sleep(0.02)
        busy.pop()
        return completion("\\boxed{leaf}")

    two = 'a = llm_batch([context[:9] + "!", context[:9] + "?"]); answer["content"] = "(" + " ".join(a) + ")"'
    told = play(
        by_role(root=two, sub_rlm=two, leaf=leaf),
        settings=RlmSettings(depth=3, sub_parallelism=1),
    )
    assert ended(told).answer == "(((leaf leaf) (leaf leaf)) ((leaf leaf) (leaf leaf)))"
    assert max(most) == 1
    started = of(told, e.TrajectoryStarted)
    assert sorted(event.depth for event in started) == [0] + [1] * 2 + [2] * 4 + [3] * 8
    at_depth = {event.key: event.depth for event in started}
    trajectory_of = {event.key: event.trajectory for event in of(told, e.ExecutionStarted)}
    for event in started[1:]:
        assert at_depth[trajectory_of[event.parent]] == event.depth - 1
    assert len(of(told, e.TrajectoryEnded)) == 15


def test_every_event_is_recorded_by_the_rollouts_own_thread_in_the_order_of_the_trace(play):
    threads, told = set(), []

    def record(events):
        threads.add(threading.get_ident())
        told.extend(events)

    play(by_role(root=PASS_ON.replace("context", "context[:3]"), sub_rlm=PASS_ON), settings=RlmSettings(depth=2),
         record=record)  # fmt: skip
    assert threads == {threading.get_ident()}
    seen = set()
    for event in told:
        if isinstance(event, e.TrajectoryStarted):
            assert event.parent is None or event.parent in seen
        if isinstance(event, e.ExecutionStarted):
            seen.add(event.key)


def test_nothing_in_a_repl_goes_deeper_than_the_host_allows(play):
    def leaf(request):
        return completion(calls=[("call_python_repl", {"code": "llm_batch(['deeper'])"})])

    told = play(by_role(root='llm_batch(["a"])', sub_rlm=PASS_ON, leaf=leaf), settings=RlmSettings(depth=1))
    assert max(event.depth for event in of(told, e.TrajectoryStarted)) == 1
    refused = [event for event in of(told, e.ExecutionEnded) if event.error_type == "BadCall"]
    assert "there is no tool 'call_python_repl'; there are: look_up" in refused[0].error_message


def test_sub_calls_are_counted_over_all_depths(play):
    code = 'answer["content"] = llm_batch(["a"])[0]'
    told = play(by_role(root=code, sub_rlm=PASS_ON), settings=RlmSettings(depth=3, max_sub_calls=2))
    assert ended(told).answer == "<<Error: all 2 sub-LLM calls of this rollout are used>>"


def test_a_sub_rlm_whose_turns_run_out_returns_what_its_answer_holds(play):
    def script(request):
        if is_sub_rlm(request):
            return cell('answer["content"] = answer["content"] + "x"')
        return cell("print(llm_batch(['a']))") if is_first(request) else DONE

    told = play(script, settings=RlmSettings(depth=2, sub_rlm_max_turns=3))
    output = of(told, e.ExecutionEnded)[-2].output
    assert "['xxx']" in output
    assert "3 tool calls" in output
    assert "⚠ max turns" in output


def test_a_spent_budget_ends_sub_rlms_with_their_answer_so_far(play):
    def script(request):
        if is_sub_rlm(request):
            return cell('answer["content"] = answer["content"] + "x"')
        return cell("answer['content'] = llm_batch(['a'])[0]")

    told = play(script, settings=RlmSettings(depth=2, max_tokens=40))
    assert (ended(told).stop_reason, ended(told).answer) == ("budget_tokens", "xx")
    assert len(play.requests) == 3


def test_a_sub_rlm_that_fails_is_an_error_in_its_place(play):
    def script(request):
        if is_sub_rlm(request):
            return Reply(400, error_body("no such model"))
        return cell("answer['content'] = llm_batch(['a'])[0]; answer['ready'] = True")

    told = play(script, settings=RlmSettings(depth=2))
    assert ended(told).answer == "Error: HTTP 400: no such model"
    assert ended(told).stop_reason == "answer_ready"


def test_a_sub_rlm_without_a_sandbox_is_an_error_in_its_place(play, backend, monkeypatch):
    started, start = [], backend.start

    def once(spec):
        started.append(spec)
        if len(started) > 1:
            from sandbox.contract import SandboxError

            raise SandboxError("no room")
        return start(spec)

    monkeypatch.setattr(backend, "start", once)
    code = "answer['content'] = llm_batch(['a'])[0]; answer['ready'] = True"
    told = play(by_role(root=code, sub_rlm=PASS_ON), settings=RlmSettings(depth=2))
    assert (ended(told).answer, ended(told).boundary) == ("Error: no room", "")
    assert of(told, e.TrajectoryEnded)[0].stop_reason == "sandbox_error"


def test_sub_rlms_of_a_cell_that_gave_up_are_stopped_and_all_below_them(play):
    code = "llm_batch(['a']); answer['content'] = 'never'"
    sleeps = "import time; time.sleep(50)"

    def script(request):
        if is_sub_rlm(request):
            deeper = "Each sub-LLM is a Recursive" in request["messages"][0]["content"]
            return cell("llm_batch(['b'])" if deeper else sleeps)
        return cell(code) if is_first(request) else DONE

    settings = RlmSettings(depth=3, cell_time_limit=6)
    began = time.monotonic()
    told = play(script, settings=settings)
    assert time.monotonic() - began < 20
    reasons = [event.stop_reason for event in of(told, e.TrajectoryEnded)]
    assert sorted(reasons) == ["abandoned", "abandoned", "answer_ready"]
    assert ended(told).reward == 1.0


def test_cancelling_ends_every_level(play):
    control = CancellationToken()

    def script(request):
        if is_sub_rlm(request):
            threading.Timer(0.5, control.stop, args=["cancelled"]).start()
            return cell("import time; time.sleep(60)")
        return cell("llm_batch(['a'])")

    began = time.monotonic()
    told = play(script, settings=RlmSettings(depth=2), control=control)
    assert time.monotonic() - began < 15
    assert ended(told).stop_reason == "cancelled"
    assert {event.stop_reason for event in of(told, e.TrajectoryEnded)} == {"cancelled"}


def test_an_error_of_ours_at_depth_two_ends_the_rollout(play):
    def price(model, usage):
        if len(play.prices) == 2:
            raise ZeroDivisionError("in the price list")
        play.prices.append(model)
        return 0

    play.prices = []
    script = by_role(root="llm_batch(['a'])", sub_rlm=PASS_ON)
    end = ended(play(script, settings=RlmSettings(depth=2), price=price, environment=PlainRiddle(Settings())))
    assert (end.stop_reason, end.boundary) == ("internal_error", "internal")


def test_the_sandboxes_of_sub_rlms_are_closed_and_never_more_than_are_allowed(play, backend, monkeypatch):
    open_now, most, start = [], [], backend.start

    def counted(spec):
        sandbox = start(spec)
        open_now.append(sandbox)
        most.append(len(open_now))
        close = sandbox.close

        def closed():
            if sandbox in open_now:
                open_now.remove(sandbox)
            close()

        sandbox.close = closed
        return sandbox

    monkeypatch.setattr(backend, "start", counted)
    script = by_role(root="llm_batch(list('abcdef'))", sub_rlm=PASS_ON)
    play(script, settings=RlmSettings(depth=2, sub_parallelism=2))
    assert len(most) == 7
    assert max(most) <= 3
    assert open_now == []


@pytest.mark.parametrize(
    ("settings", "coders"),
    [
        (RlmSettings(depth=1), ("main",)),
        (RlmSettings(depth=2), ("main", "sub")),
        (LlmSettings(), ()),
    ],
)
def test_whose_code_is_run_is_known_before_it_is(settings, coders):
    plan = RolloutPlan(
        environment=PlainRiddle(Settings()),
        example=EXAMPLE,
        scaffold=registry.of_settings(settings),
        model="main",
        sub_model="sub",
    )
    assert plan.coders == coders


def test_a_call_that_waited_for_its_turn_is_checked_against_the_budget_again(play):
    def script(request):
        if is_sub(request):
            return completion("x", prompt_tokens=1000)
        return cell("print(llm_batch(['a']))") if is_sub_rlm(request) else cell("llm_batch(['a', 'b', 'c'])")

    told = play(script, settings=RlmSettings(depth=2, sub_parallelism=3, max_tokens=500))
    assert ended(told).stop_reason == "budget_tokens"
    assert sum(is_sub(request) for request in play.requests) <= 3


@pytest.mark.parametrize("depth", [-1, 9])
def test_depth_has_bounds(depth):
    with pytest.raises(ValidationError):
        RlmSettings(depth=depth)
