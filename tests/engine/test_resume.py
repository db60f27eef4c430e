"""An attempt that was cut off continues after its last turn, and repeats no model call."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from decimal import Decimal

import pytest

from rlm_runs.engine import events as e
from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.environments.base import Settings
from rlm_runs.engine.errors import Stopped
from rlm_runs.engine.recording import Recording
from rlm_runs.engine.replay import Diverged
from rlm_runs.engine.scaffolds.llm import LlmSettings
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from tests.engine.riddle import DONE, PythonRiddle, Riddle, ended, is_sub, of
from tests.scripted_server import Held, cell, completion

CELLS = [
    "total = 0\nprint(len(context))",
    "said = llm_batch(['a', 'b', 'c'])\nprint(said)\ntotal += len(said)",
    "class Thing: pass\nthing = Thing()\nprint(thing)",
    "import sys\ndel missing",
    "answer['content'] = 'draft'\ntotal += 1\ntotal",
    "said += llm_batch([f'{total}', 'e'])\nsaid",
]
LAST = "answer['content'] = '42' if total == 4 and len(said) == 5 else repr(said)\nanswer['ready'] = True"


def script(request):
    """Six cells, two batches; each sub-LLM looks a word up first. The answer is right if the REPL's state is."""
    messages = request["messages"]
    if is_sub(request):
        word = messages[1]["content"]
        if len(messages) == 2:
            return completion(calls=[("look_up", {"word": word})])
        return completion(f"\\boxed{{{word.upper()}}}")
    turns = sum(message["role"] == "assistant" for message in messages)
    return cell(([*CELLS, LAST])[turns])


def key_of(request):
    return repr((request["model"], request["messages"]))


def masked(text):
    return re.sub(r"\d+\.\d\ds|at 0x\w+", "…", text)


def shape(told):
    """What happened, without times and keys: turns and executions of each conversation by their place."""
    places, executions, found = {}, {}, {}
    for event in told:
        if isinstance(event, e.TrajectoryStarted):
            parent = None if event.parent is None else executions[event.parent]
            places[event.key] = (event.kind, parent, event.batch, event.position)
        elif isinstance(event, e.TurnEnded):
            found[places[event.trajectory], event.index] = (event.content, event.reply, event.usage.raw)
        elif isinstance(event, e.ExecutionStarted):
            executions[event.key] = (places[event.trajectory], event.turn, event.position)
        elif isinstance(event, e.ExecutionEnded):
            found[executions[event.key]] = (masked(event.output), masked(event.shown), event.answer, event.ready)
        elif isinstance(event, e.TrajectoryEnded):
            found[places[event.key], "end"] = (event.stop_reason, event.answer)
    return found


@pytest.fixture
def whole(play):
    """An undisturbed run: its events and its requests."""
    told = play(script)
    return told, list(play.requests)


def test_wherever_it_is_cut_it_ends_as_if_it_had_not_been(play, whole):
    """Cut behind turns and executions, here and there: the sum of both parts is the whole."""
    told, requests = whole
    turns = [number for number, event in enumerate(told) if isinstance(event, e.TurnEnded | e.ExecutionEnded)]
    assert ended(told).reward == 1.0
    for cut in turns[::3]:
        before = told[: cut + 1]
        after = play(script, recording=Recording.of(before))
        assert isinstance(after[0], e.RolloutResumed)
        assert shape([*before, *after]) == shape(told)
        assert ended(after).answer == "42"
        calls = sum(isinstance(event, e.TurnEnded) for event in before)
        assert len(play.requests) == len(requests) - calls
        if cut == turns[-1]:
            assert play.requests == []


def test_the_recorded_part_is_not_told_again(play, whole):
    told, _ = whole
    cut = told.index(of(told, e.ExecutionEnded)[-1])
    after = play(script, recording=Recording.of(told[:cut], seconds=12.5))
    before = told[:cut]
    assert after[0].turns == 7
    assert after[0].seconds == 12.5
    assert not of(after, e.TurnEnded)
    keys = {event.key for event in of(before, e.TrajectoryStarted) if event.kind == "root"}
    assert {event.key for event in of(after, e.TrajectoryStarted)} == keys  # open again
    assert len(of(after, e.ExecutionStarted)) == 1


def test_new_keys_do_not_repeat_recorded_ones(play, whole):
    told, _ = whole
    cut = [number for number, event in enumerate(told) if isinstance(event, e.TurnEnded)][4]
    before = told[: cut + 1]
    known = {event.key for event in before if isinstance(event, e.TrajectoryStarted | e.ExecutionStarted)}
    root = of(before, e.TrajectoryStarted)[0].key
    reopened = {event.key for event in of(before, e.TrajectoryStarted)}
    after = play(script, recording=Recording.of(before))
    fresh = [event.key for event in after if isinstance(event, e.TrajectoryStarted | e.ExecutionStarted)]
    assert len(fresh) == len(set(fresh))
    assert root in fresh
    assert {key for key in fresh if key in known} <= reopened | {
        event.key for event in of(before, e.ExecutionStarted)
    }


def test_the_live_part_is_sent_the_prompt_of_the_undisturbed_run(play, whole):
    told, requests = whole
    cells = [event for event in of(told, e.ExecutionEnded) if event.answer is not None]
    cut = told.index(cells[-3])
    play(script, recording=Recording.of(told[: cut + 1]))
    fresh = {key_of(request) for request in play.requests if not is_sub(request)}
    prompts = [masked(key_of(request)) for request in requests if not is_sub(request)]
    assert {masked(prompt) for prompt in fresh} <= set(prompts)
    first = min((request for request in play.requests if not is_sub(request)), key=lambda r: len(r["messages"]))
    assert first["messages"] in [request["messages"] for request in requests]  # the very same, times and all


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import time\nprint(time.time_ns())", "cell 1 printed something else"),
        ("import os\nraise ValueError(os.urandom(8).hex())", "cell 1 printed something else"),
        ("import os\nanswer['content'] = os.urandom(8).hex()", "cell 1 left another answer"),
        ("import os\nllm_batch([os.urandom(8).hex()])", "a sub-LLM was asked something else at depth 1"),
    ],
)
def test_a_cell_that_does_something_else_cannot_be_gone_on_from(play, code, what):
    def once(request):
        if is_sub(request):
            return completion("\\boxed{x}")
        return cell(code) if len(request["messages"]) == 2 else DONE

    told = play(once)
    cut = told.index(of(told, e.TurnEnded)[-1])
    with pytest.raises(Diverged) as diverged:
        play(once, recording=Recording.of(told[:cut]))
    assert str(diverged.value) == what
    assert play.requests == []


def test_addresses_and_the_seconds_of_a_batch_may_differ(play):
    codes = ["class Thing: pass\nprint(Thing())", "llm_batch(['a'])"]

    def once(request):
        if is_sub(request):
            return completion("\\boxed{x}")
        return (
            cell(([*codes, DONE])[(len(request["messages"]) - 2) // 2]) if len(request["messages"]) < 6 else DONE
        )

    told = play(once)
    cut = told.index(of(told, e.TurnEnded)[-1])
    ends = of(told, e.ExecutionEnded)
    told[told.index(ends[1])] = replace(ends[1], output=re.sub(r"\d+\.\d\ds", "77.00s", ends[1].output))
    assert ended(play(once, recording=Recording.of(told[:cut]))).reward == 1.0


def test_a_budget_counts_what_was_spent_before(play, whole):
    told, requests = whole
    cut = told.index(of(told, e.ExecutionEnded)[-1])
    spent = Recording.of(told[:cut]).spent
    assert spent.sub_calls == 5
    assert spent.tokens == 15 * (len(requests))
    assert spent.dollars == Decimal("0.001") * len(requests)
    cut = told.index(of(told, e.ExecutionEnded)[0])
    tight = RlmSettings(max_tokens=30)
    end = ended(play(script, settings=tight, recording=Recording.of(told[: cut + 1])))
    assert end.stop_reason == "budget_tokens"
    assert len(play.requests) == 1
    end = ended(play(script, settings=RlmSettings(max_seconds=60), recording=Recording.of(told[:cut], seconds=61)))
    assert end.stop_reason == "deadline"


def test_a_plain_model_goes_on_from_its_transcript(play):
    """Without a REPL there is nothing to build; the tools are not called again."""
    called = []

    class Counting(Riddle):
        def tools(self):
            return [replace(tool, call=self._counted(tool.call)) for tool in super().tools()]

        def _counted(self, call):
            def counted(**arguments):
                called.append(arguments)
                return call(**arguments)

            return counted

    def talk(request):
        turns = sum(message["role"] == "assistant" for message in request["messages"])
        if turns < 2:
            return completion(calls=[("look_up", {"word": f"w{turns}"}), ("look_up", {"word": "broken"})])
        return completion("42")

    told = play(talk, settings=LlmSettings(), environment=Counting(Settings()))
    assert len(called) == 4
    cut = told.index(of(told, e.ExecutionEnded)[2])
    called.clear()
    after = play(
        talk, settings=LlmSettings(), environment=Counting(Settings()), recording=Recording.of(told[:cut])
    )
    assert called == [{"word": "w1"}, {"word": "broken"}]  # the second turn's, which had not come back
    assert len(play.requests) == 1
    assert ended(after).reward == 1.0


def test_a_python_tool_is_built_again(play):
    codes = ["x = 41", "x += 1\nprint(x)"]

    def talk(request):
        turns = sum(message["role"] == "assistant" for message in request["messages"])
        return completion(calls=[("python", {"code": codes[turns]})]) if turns < 2 else completion("42")

    environment = PythonRiddle(Settings())
    told = play(talk, settings=LlmSettings(), environment=environment)
    cut = told.index(of(told, e.ExecutionEnded)[0])
    after = play(talk, settings=LlmSettings(), environment=environment, recording=Recording.of(told[: cut + 1]))
    assert of(after, e.ExecutionEnded)[0].output == "42\n"
    assert len(play.requests) == 2


def test_sub_llms_that_are_rlms_go_on_too(play):
    def talk(request):
        if is_sub(request):
            return completion("\\boxed{leaf}")
        if "another one has called you" in request["messages"][0]["content"]:
            turns = sum(message["role"] == "assistant" for message in request["messages"])
            codes = ["kept = llm_batch(['deep'])", "answer['content'] = kept[0]\nanswer['ready'] = True"]
            return cell(codes[turns])
        return cell("answer['content'] = llm_batch(['x'])[0]\nanswer['ready'] = True")

    settings = RlmSettings(depth=2)
    told = play(talk, settings=settings)
    assert ended(told).answer == "leaf"
    turns = [event for event in told if isinstance(event, e.TurnEnded)]
    assert len(turns) == 4
    cut = told.index(turns[2])  # the leaf has answered; the RLM between has not seen it
    after = play(talk, settings=settings, recording=Recording.of(told[: cut + 1]))
    assert ended(after).answer == "leaf"
    assert len(play.requests) == 1


def test_a_rollout_that_is_interrupted_goes_on(play):
    """The events that an interrupt leaves behind are those of parts that are not over."""
    control, told = CancellationToken(), []

    def slow(request):
        if is_sub(request) and "b" in request["messages"][1]["content"] and not control.reason:
            threading.Timer(0.3, control.stop, ["interrupted"]).start()
        return script(request)

    codes = CELLS[1]
    CELLS[1] = "import time\n" + codes + "\nif not globals().get('again'): time.sleep(1)"
    try:
        with pytest.raises(Stopped):
            play(slow, control=control, record=told.extend)
        recorded = [event for event in told if isinstance(event, e.TurnEnded)]
        assert {event.stop_reason for event in of(told, e.TrajectoryEnded)} >= {"interrupted"}
        after = play(script, recording=Recording.of(told))
    finally:
        CELLS[1] = codes
    assert ended(after).reward == 1.0
    assert len(recorded) + len(of(after, e.TurnEnded)) == 7 + 2 * 5


def test_calls_that_were_aborted_are_made_again_however_often(play):
    """Each time the worker stops while the root is asked its second turn."""
    control, told = CancellationToken(), []

    def talk(request):
        if request["messages"][-1]["role"] == "tool":
            if len(told) and not finishing:
                threading.Timer(0.2, control.stop, ["interrupted"]).start()
                return Held(60)
            return cell("answer['content'] = '42'\nanswer['ready'] = True")
        return cell("print(1)")

    finishing = []
    for _ in range(2):
        control = CancellationToken()
        recording = {"recording": Recording.of(told)} if told else {}
        with pytest.raises(Stopped):
            play(talk, control=control, record=told.extend, **recording)
    aborted = [turn for turn in of(told, e.TurnEnded) if turn.error]
    assert [(turn.index, turn.cost) for turn in aborted] == [(1, None), (2, None)]
    finishing.append(True)
    after = play(talk, recording=Recording.of(told))
    assert (ended(after).stop_reason, ended(after).reward) == ("answer_ready", 1.0)
    assert [turn.index for turn in of(after, e.TurnEnded)] == [3]
    assert len(play.requests) == 1


def test_only_the_scoring_is_left_where_the_root_has_ended(play, whole):
    told, _ = whole
    after = play(script, recording=Recording.of(told[:-1]))
    assert [type(event) for event in after] == [e.RolloutResumed, e.RolloutEnded]
    assert (ended(after).reward, ended(after).answer, ended(after).stop_reason) == (1.0, "42", "answer_ready")
    assert play.requests == []


def test_a_time_out_is_the_same_again(play):
    settings = RlmSettings(cell_time_limit=1)
    state = {"slow": True}

    def talk(request):
        if is_sub(request):
            if request["messages"][1]["content"] == "slow" and state["slow"]:
                threading.Event().wait(2.5)
            return completion("\\boxed{x}")
        return cell("llm_batch(['quick', 'slow'])") if len(request["messages"]) == 2 else DONE

    told = play(talk, settings=settings)
    assert of(told, e.ExecutionEnded)[0].timed_out
    state["slow"] = False
    cut = told.index(of(told, e.TurnEnded)[-1])
    last = of(told, e.ExecutionEnded)[-1]
    kept = [event for event in told if event is not last and not isinstance(event, e.RolloutEnded)]
    kept = [event for event in kept if not (isinstance(event, e.TrajectoryEnded) and event.key == 0)]
    assert cut
    after = play(talk, settings=settings, recording=Recording.of(kept))
    assert ended(after).reward == 1.0
    assert play.requests == []
