"""Whole rollouts: a scripted model over real HTTP, a real REPL in a process sandbox, events in a list."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest

from rlm_runs.engine import events as e
from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.environments.base import Example, Settings
from rlm_runs.engine.errors import Stopped
from rlm_runs.engine.scaffolds.llm import LlmSettings
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from rlm_runs.engine.scaffolds.rlm_tips import RlmTipsSettings
from tests.engine.riddle import DONE, PlainRiddle, PythonRiddle, ended, is_sub, of, steps
from tests.scripted_server import Reply, cell, completion, error_body


def test_an_answer_that_is_set_ready_ends_the_rollout(play):
    told = play(steps(cell("print(len(context)); x = 1"), cell("x + 1"), DONE))
    end = ended(told)
    assert (end.stop_reason, end.answer, end.reward, end.boundary) == ("answer_ready", "42", 1.0, "")
    first, second, last = of(told, e.ExecutionEnded)
    assert first.shown.startswith("11000\n[Execution time: ")
    assert (second.out, second.shown.split("\n")[0]) == ("2", "Out[2]: 2")
    assert (last.answer, last.ready) == ("42", True)
    assert [turn.index for turn in of(told, e.TurnEnded)] == [0, 1, 2]


def test_the_root_sees_neither_its_input_data_nor_the_environments_tools(play):
    play(steps(DONE))
    request = play.requests[0]
    assert "haystack" not in str(request["messages"])
    assert "a string of 11,000 characters" in request["messages"][0]["content"]
    assert [tool["function"]["name"] for tool in request["tools"]] == ["call_python_repl"]


def test_each_request_continues_the_one_before_it(play):
    play(steps(cell("print(1)"), cell("print(2)"), DONE))
    first, second, third = (request["messages"] for request in play.requests)
    assert second[: len(first)] == first
    assert third[: len(second)] == second
    assert [message["role"] for message in third] == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert third[2]["tool_calls"][0]["id"] == third[3]["tool_call_id"]


def test_tips_stand_in_their_tags_at_the_end_of_the_prompt(play):
    play(steps(DONE), settings=RlmTipsSettings())
    assert play.requests[0]["messages"][1]["content"] == (
        "What is the number?\n\n<env_tips>\nThink of a number.\n</env_tips>"
    )


def test_sub_llms_answer_in_the_order_of_their_prompts_from_their_boxes(play):
    def sub(request):
        number = request["messages"][1]["content"].split()[-1]
        return completion(f"I think it is \\boxed{{{number} of {{many}}}}, surely.")

    code = "answers = llm_batch([f'number {i}' for i in range(8)]); print(answers)"
    told = play(steps(cell(code), DONE, sub=sub))
    execution = of(told, e.ExecutionEnded)[0]
    lines = execution.output.splitlines()
    assert lines[0].startswith("llm_batch: 8 call(s) in ")
    assert [line.split(":")[0] for line in lines[1:9]] == [f"  [{i}]" for i in range(8)]
    assert lines[1].endswith("✓")
    assert "15 tokens, 0 tool calls" in lines[1]
    assert lines[9] == str([f"{i} of {{many}}" for i in range(8)])
    subs = [event for event in of(told, e.TrajectoryStarted) if event.kind == "sub"]
    assert sorted((s.parent, s.batch, s.position, s.depth) for s in subs) == [(1, 0, i, 1) for i in range(8)]


def test_the_functions_of_the_papers_library_work_where_they_are_asked_for(play):
    def sub(request):
        return completion(request["messages"][1]["content"].upper())

    settings = RlmSettings(paper_functions=True)
    told = play(
        steps(
            cell("found = [llm_query('a'), *llm_query_batched(['b', 'c'])]"), cell("FINAL_VAR('found')"), sub=sub
        ),
        settings=settings,
    )
    assert (ended(told).stop_reason, ended(told).answer) == ("answer_ready", "['A', 'B', 'C']")
    assert "`llm_query(prompt: str) -> str`" in play.requests[0]["messages"][0]["content"]
    told = play(steps(cell("FINAL_VAR('missing')"), cell("FINAL(42)")), settings=settings)
    assert of(told, e.ExecutionEnded)[0].error_type == "NameError"
    assert (ended(told).answer, ended(told).reward) == ("42", 1.0)


def test_a_repaired_cell_is_recorded_as_written(play):
    code = "```python\nx = 1\nx\n```"
    told = play(steps(cell(code), cell("answer = 'lost'"), DONE))
    assert [execution.repairs for execution in of(told, e.ExecutionEnded)] == [("code_fence",), (), ()]
    assert json.loads(of(told, e.ExecutionStarted)[0].arguments) == {"code": code}
    assert "`answer` was bound to a str" in of(told, e.ExecutionEnded)[1].shown
    assert ended(told).reward == 1.0


def test_batches_of_a_cell_are_numbered(play):
    code = "llm_batch(['a']); llm_batch(['b', 'c']); llm_batch([])"
    told = play(steps(cell(code), DONE, sub=lambda _: completion("x")))
    subs = [(s.batch, s.position) for s in of(told, e.TrajectoryStarted) if s.kind == "sub"]
    assert sorted(subs) == [(0, 0), (1, 0), (1, 1)]
    assert of(told, e.ExecutionEnded)[0].error_type == ""


def test_a_sub_llm_loops_over_tools_and_then_must_answer(play):
    def sub(request):
        if request.get("tools"):
            return completion(calls=[("look_up", {"word": "x"})])
        assert "final answer now" in request["messages"][-1]["content"]
        return completion("\\boxed{42}")

    told = play(steps(cell("print(llm_batch(['look x up']))"), DONE, sub=sub))
    assert "5 tool calls" in of(told, e.ExecutionEnded)[-2].output
    assert "⚠ max turns" in of(told, e.ExecutionEnded)[-2].output
    assert [call.shown for call in of(told, e.ExecutionEnded)[:5]] == ["x means 42"] * 5
    assert [s.stop_reason for s in of(told, e.TrajectoryEnded)] == ["max_turns", "answer_ready"]


def test_a_tool_that_fails_is_told_to_the_sub_llm_and_ends_nothing(play):
    def sub(request):
        if request["messages"][-1]["role"] == "tool":
            return completion(request["messages"][-1]["content"])
        return completion(
            calls=[("look_up", {"word": "broken"}), ("look_up", {}), ("fly", {}), ("look_up", "{no")]
        )

    told = play(steps(cell("print(llm_batch(['x'])[0])"), DONE, sub=sub))
    calls = [event for event in of(told, e.ExecutionEnded) if event.error_type]
    assert [call.shown.split(":")[0] for call in calls] == ["Error"] * 4
    assert "the dictionary is closed" in calls[0].shown
    assert "needs word" in calls[1].shown
    assert "there is no tool 'fly'; there are: look_up" in calls[2].shown
    assert "not valid JSON" in calls[3].shown
    assert ended(told).reward == 1.0


def test_the_plain_model_has_the_environments_tools_beside_its_python(play):
    class Both(PythonRiddle):
        with_tools = True

    calls = completion(calls=[("look_up", {"word": "x"}), ("python", {"code": "1 + 1"}), ("fly", {})])
    told = play(steps(calls, completion("42")), environment=Both(Settings()), settings=LlmSettings())
    assert [tool["function"]["name"] for tool in play.requests[0]["tools"]] == ["python", "look_up"]
    looked_up, ran, refused = of(told, e.ExecutionEnded)
    assert (looked_up.shown, ran.out) == ("x means 42", "2")
    assert refused.shown == "Error: there is no tool 'fly'; there is python, look_up"


def test_a_sub_llm_that_fails_is_an_error_in_its_place(play):
    def sub(request):
        if "bad" in request["messages"][1]["content"]:
            return Reply(400, error_body("maximum context length", code="context_length_exceeded"))
        return completion("fine")

    told = play(steps(cell("print(llm_batch(['good', 'bad']))"), DONE, sub=sub))
    output = of(told, e.ExecutionEnded)[0].output
    assert "'fine'" in output
    assert "Error: HTTP 400: maximum context length" in output
    assert "✗ prompt_too_long" in output
    assert ended(told).stop_reason == "answer_ready"


def test_turns_that_run_out_leave_what_the_answer_holds(play):
    told = play(steps(cell('answer["content"] = "42"')), settings=RlmSettings(max_turns=3))
    end = ended(told)
    assert (end.stop_reason, end.answer, end.reward) == ("max_turns", "42", 1.0)
    assert len(of(told, e.TurnEnded)) == 3


def test_a_root_that_only_talks_is_reminded_and_then_ended(play):
    told = play(steps(completion("The answer is 42.")))
    turns = of(told, e.TurnEnded)
    assert ["You did not call" in turn.reply for turn in turns] == [True, True, False]
    assert (ended(told).stop_reason, ended(told).reward) == ("no_tool_call", 0.0)
    assert play.requests[1]["messages"][-1]["content"].startswith("You did not call")


def test_a_call_that_cannot_be_made_is_told_to_the_root(play):
    bad = [
        completion(calls=[("search", {})]),
        completion(calls=[("call_python_repl", "{")]),
        completion(calls=[("call_python_repl", {"code": 3})]),
        completion(calls=[("call_python_repl", {})]),
    ]
    told = play(steps(*bad, DONE))
    shown = [event.shown for event in of(told, e.ExecutionEnded)]
    assert "there is no tool 'search'" in shown[0]
    assert "not valid JSON" in shown[1]
    assert "must be a string" in shown[2]
    assert "needs code" in shown[3]
    assert ended(told).reward == 1.0


def test_a_cell_past_its_time_keeps_its_variables(play):
    code = "kept = 7\nprint('so far', flush=True)\nimport time\ntime.sleep(60)"
    told = play(steps(cell(code), cell("kept"), DONE), settings=RlmSettings(cell_time_limit=1))
    slow, after, _ = of(told, e.ExecutionEnded)
    assert (slow.timed_out, slow.state_lost) == (True, False)
    assert slow.output.startswith("so far")
    assert "interrupted after 1 s" in slow.shown
    assert after.out == "7"


def test_an_error_is_shown_without_ending_anything(play):
    told = play(steps(cell("1 / 0"), DONE))
    failed = of(told, e.ExecutionEnded)[0]
    assert (failed.error_type, failed.error_message) == ("ZeroDivisionError", "division by zero")
    assert "ZeroDivisionError: division by zero" in failed.shown


def test_long_output_is_cut_for_the_model_and_kept_whole(play):
    told = play(steps(cell("print('y' * 50_000)"), DONE))
    execution = of(told, e.ExecutionEnded)[0]
    assert execution.truncated
    assert (len(execution.output), execution.output_chars) == (50_001, 50_001)
    assert execution.shown.startswith("y" * 8192 + "\n... [output truncated")


def test_the_sub_call_budget_holds_at_the_moment_of_the_call(play):
    code = "print(llm_batch(['a'] * 5))"
    told = play(
        steps(cell(code), DONE, sub=lambda _: completion("ok")),
        settings=RlmSettings(max_sub_calls=3, sub_parallelism=1),
    )
    output = of(told, e.ExecutionEnded)[0].output
    assert output.count("'ok'") == 3
    assert output.count("'Error: all 3 sub-LLM calls of this rollout are used'") == 2
    assert sum(is_sub(request) for request in play.requests) == 3


def test_a_spent_budget_ends_the_rollout_with_the_answer_so_far(play):
    told = play(steps(cell('answer["content"] = "42"')), settings=RlmSettings(max_tokens=40))
    assert (ended(told).stop_reason, ended(told).reward) == ("budget_tokens", 1.0)
    assert len(play.requests) == 3  # 15 tokens each


def test_the_root_is_warned_once_when_its_window_fills_up(play):
    full = completion(calls=[("call_python_repl", {"code": "1"})], prompt_tokens=850)
    told = play(steps(full, full, DONE), window=1000)
    replies = [turn.reply for turn in of(told, e.TurnEnded)]
    assert "86 % full (855 of 1,000 tokens)" in replies[0]
    assert replies[1:] == ["", ""]


def test_the_llm_scaffold_has_the_input_data_and_the_tools(play):
    script = steps(completion(calls=[("look_up", {"word": "x"})]), completion("42"))
    told = play(script, settings=LlmSettings())
    assert "a haystack" in play.requests[0]["messages"][0]["content"]
    assert [tool["function"]["name"] for tool in play.requests[0]["tools"]] == ["look_up"]
    assert (ended(told).stop_reason, ended(told).reward) == ("final_message", 1.0)
    assert of(told, e.RolloutStarted)[0].sandbox_backend == ""


def test_the_llm_scaffold_without_tools_is_one_call(play):
    told = play(steps(completion("41")), settings=LlmSettings(), environment=PlainRiddle(Settings()))
    assert "tools" not in play.requests[0]
    assert len(play.requests) == 1
    assert ended(told).reward == 0.0


def test_the_python_tool_of_the_llm_scaffold_keeps_its_state(play):
    script = steps(
        completion(calls=[("python", {"code": "x = 41"})]),
        completion(calls=[("python", {"code": "x + 1"}), ("python", {"code": "answer"})]),
        completion("42"),
    )
    told = play(script, settings=LlmSettings(), environment=PythonRiddle(Settings()))
    first, second, third = of(told, e.ExecutionEnded)
    assert second.out == "42"
    assert third.error_type == "NameError"  # that is the RLM's
    assert (first.answer, first.ready) == (None, None)
    assert ended(told).reward == 1.0


def test_the_llm_scaffolds_turns_run_out(play):
    looping = completion(calls=[("look_up", {"word": "x"})])

    def script(request):
        return looping if request.get("tools") else completion("42")

    told = play(script, settings=LlmSettings(max_turns=2))
    assert len(play.requests) == 3
    assert "final answer now" in play.requests[-1]["messages"][-1]["content"]
    assert (ended(told).stop_reason, ended(told).reward) == ("max_turns", 1.0)


def test_a_prompt_over_the_window_has_no_reward(play):
    told = play(
        lambda _: Reply(400, error_body("too long", code="context_length_exceeded")), settings=LlmSettings()
    )
    end = ended(told)
    assert (end.stop_reason, end.reward, end.boundary) == ("prompt_too_long", None, "model")
    assert "too long" in end.error
    assert of(told, e.TurnEnded)[0].cost == 0
    assert of(told, e.TrajectoryEnded)[0].stop_reason == "prompt_too_long"


def test_an_answer_that_cannot_be_scored_is_not_a_zero(play):
    told = play(steps(completion("unscorable")), settings=LlmSettings(), environment=PlainRiddle(Settings()))
    end = ended(told)
    assert (end.stop_reason, end.reward, end.boundary) == ("scoring_error", None, "scoring")
    assert (end.answer, end.error) == ("unscorable", "ValueError: cannot be scored")


def test_an_error_of_ours_is_told_as_ours(play):
    def price(model, usage):
        raise ZeroDivisionError("in the price list")

    end = ended(play(steps(DONE), price=price))
    assert (end.stop_reason, end.boundary) == ("internal_error", "internal")
    assert "in the price list" in end.error


def test_an_error_of_ours_inside_a_sub_llm_does_not_leave_the_cell_waiting(play):
    calls = []

    def price(model, usage):
        calls.append(model)
        if len(calls) == 2:
            raise ZeroDivisionError("in the price list")
        return Decimal(0)

    told = play(steps(cell("llm_batch(['a'])"), DONE, sub=lambda _: completion("x")), price=price)
    assert (ended(told).stop_reason, ended(told).boundary) == ("internal_error", "internal")


@pytest.mark.parametrize("reason", ["cancelled", "interrupted"])
def test_stopping_ends_a_running_cell(play, reason):
    control = CancellationToken()

    def sub(request):
        control.stop(reason)
        return completion("late")

    script = steps(cell("llm_batch(['a']); import time; time.sleep(60)"), DONE, sub=sub)
    if reason == "interrupted":
        with pytest.raises(Stopped):
            play(script, control=control)
    else:
        end = ended(play(script, control=control))
        assert (end.stop_reason, end.reward, end.boundary) == ("cancelled", None, "control")


def test_what_was_spent_after_the_cell_gave_up_is_counted(play):
    def sub(request):
        time.sleep(2)
        return completion("late")

    told = play(steps(cell("llm_batch(['slow'])"), DONE, sub=sub), settings=RlmSettings(cell_time_limit=0.5))
    assert of(told, e.ExecutionEnded)[0].timed_out
    subs = {t.key for t in of(told, e.TrajectoryStarted) if t.kind == "sub"}
    assert [turn.usage.prompt for turn in of(told, e.TurnEnded) if turn.trajectory in subs] == [10]
    assert ended(told).reward == 1.0


class JudgedRiddle(PlainRiddle):
    def judge_prompt(self, example: Example, answer: str) -> str:
        return f"ground truth: {example.answer}; answer: {answer}"


def judged_by(*verdicts):
    """A script whose model answers 42 and whose judge says the verdicts in turn."""
    left = list(verdicts)

    def script(request):
        return completion("42") if request["messages"][0]["role"] == "user" else left.pop(0)

    return script


def play_judged(play, *verdicts):
    script = judged_by(*verdicts)
    return play(script, settings=LlmSettings(max_tokens=1), environment=JudgedRiddle(Settings()))


@pytest.mark.parametrize(
    ("said", "reward"), [("yes", 1.0), ("No.", 0.0), ("**Yes**, it is.", 1.0), ("They differ.\nno", 0.0)]
)
def test_a_judge_gives_the_reward_and_is_a_trajectory_of_its_own(play, said, reward):
    told = play_judged(play, completion(said))
    assert (ended(told).reward, ended(told).stop_reason) == (reward, "final_message")
    judge = next(event for event in of(told, e.TrajectoryStarted) if event.kind == "judge")
    assert judge.opening[1].content == "ground truth: 42; answer: 42"


def test_a_judge_that_says_neither_is_asked_once_more(play):
    told = play_judged(play, completion("Perhaps."), completion("yes"))
    assert ended(told).reward == 1.0
    assert play.requests[-1]["messages"][-1]["content"] == "Answer with one word: yes or no."


def test_an_answer_without_a_verdict_is_unjudged_and_not_a_zero(play):
    end = ended(play_judged(play, completion("Perhaps."), completion("Nobody knows.")))
    assert (end.reward, end.stop_reason, end.boundary) == (None, "unjudged", "scoring")
    assert "Nobody knows." in end.error
    assert end.answer == "42"


def test_a_judge_that_cannot_be_asked_is_a_failure_of_scoring(play):
    end = ended(play_judged(play, Reply(401, error_body("no such key"))))
    assert (end.reward, end.stop_reason, end.boundary) == (None, "scoring_error", "scoring")
    assert "no such key" in end.error
