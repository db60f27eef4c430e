"""Rollouts against servers that refuse, and models that write what they should not."""

from __future__ import annotations

import json

from rlm_runs.engine.events import RolloutEnded, TurnEnded
from rlm_runs.engine.scaffolds.llm import LlmSettings
from tests.scripted_server import Reply, cell, completion, error_body

TOO_LONG = Reply(400, error_body("prompt is too long: 9001 tokens > 8192 maximum"))


def ended(told):
    return next(event for event in told if isinstance(event, RolloutEnded))


def strict(request):
    """Refuses a history that a strict server would; None if it is taken."""
    ids = [call["id"] for message in request["messages"] for call in message.get("tool_calls", ())]
    if not all(ids) or len(set(ids)) != len(ids):
        return Reply(400, error_body("ids must be unique and not empty"))
    for message in request["messages"]:
        for call in message.get("tool_calls", ()):
            try:
                valid = isinstance(json.loads(call["function"]["arguments"]), dict)
            except ValueError:
                valid = False
            if not valid or not call["function"]["name"]:
                return Reply(500, error_body("failed to parse the arguments"))
        if message["role"] == "assistant" and not (message.get("content") or message.get("tool_calls")):
            return Reply(400, error_body("assistant message must have either content or tool_calls"))
        if message["role"] == "tool" and message["tool_call_id"] not in ids:
            return Reply(400, error_body("a result without a call"))
    return None


def test_a_root_that_overflows_is_scored_with_its_answer_so_far(play):
    replies = [cell('answer["content"] = "42"'), TOO_LONG]
    end = ended(play(lambda request: replies.pop(0)))
    assert (end.stop_reason, end.answer, end.boundary) == ("window_exceeded", "42", "")
    assert end.reward is not None


def test_a_first_prompt_that_is_too_long_has_no_score(play):
    end = ended(play(lambda request: TOO_LONG))
    assert (end.stop_reason, end.reward, end.boundary) == ("prompt_too_long", None, "model")
    end = ended(play(lambda request: TOO_LONG, settings=LlmSettings()))
    assert (end.stop_reason, end.reward) == ("prompt_too_long", None)


def test_whatever_the_model_writes_the_history_is_valid_and_the_store_has_its_own_text(play):
    written = [
        ("call_python_repl", '{"code": "print(1)'),
        ("call_python_repl", '"print(1)"'),
        ("no such tool", "{}"),
        ("", "[1]"),
        ("call_python_repl", '{"code": "x = 1\ny = 2"}'),
    ]
    odd = completion(calls=written)
    for call in odd["choices"][0]["message"]["tool_calls"]:
        call["id"] = ""
    replies = [
        odd,
        completion(calls=written),
        completion(""),
        cell('answer["content"] = str(x + y); answer["ready"] = True'),
    ]
    told = play(lambda request: strict(request) or replies.pop(0))
    assert (ended(told).stop_reason, ended(told).answer) == ("answer_ready", "3")
    first = next(event for event in told if isinstance(event, TurnEnded))
    assert [(call.name, call.arguments) for call in first.tool_calls] == written


def test_reasoning_in_the_content_is_no_part_of_the_answer(play):
    said = completion("<think>Perhaps \\boxed{41}?</think>\\boxed{42}")
    told = play(lambda request: said, settings=LlmSettings())
    assert ended(told).answer == "\\boxed{42}"
    turn = next(event for event in told if isinstance(event, TurnEnded))
    assert (turn.content, turn.reasoning) == ("\\boxed{42}", "Perhaps \\boxed{41}?")


def test_each_try_of_a_turn_is_told(play):
    replies = [Reply(200, "<html>"), cell('answer["content"] = "42"; answer["ready"] = True')]
    told = play(lambda request: replies.pop(0))
    turn = next(event for event in told if isinstance(event, TurnEnded))
    assert [failed.status for failed in turn.failed_tries] == [200]
    gone = play(lambda request: Reply(503, ""))
    turn = next(event for event in gone if isinstance(event, TurnEnded))
    assert [failed.status for failed in turn.failed_tries] == [503, 503]
