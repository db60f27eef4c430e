"""Events become rows as they happen; a rollout's sums equal those of its parts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from rlm_runs.engine import events as e
from rlm_runs.execution.recorder import ClaimLost, Recorder
from rlm_runs.models import Execution, Rollout, Text, Trajectory, Turn

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds):
    return START + timedelta(seconds=seconds)


def usage(prompt, completion, *, cached=0, reasoning=0):
    return e.Usage(prompt=prompt, completion=completion, cached=cached, reasoning=reasoning, raw={"p": prompt})


def turn(trajectory, index, *, tokens, cost="0.01", **more):
    cost = None if cost is None else Decimal(cost)
    return e.TurnEnded(
        trajectory=trajectory, index=index, at=at(1), seconds=1.0, usage=usage(*tokens), cost=cost, **more
    )


def cell(key, turn_index, code):
    return e.ExecutionStarted(
        key=key,
        trajectory=0,
        turn=turn_index,
        position=0,
        at=at(2),
        kind="cell",
        name="call_python_repl",
        call_id="c",
        arguments=code,
    )


def rlm_rollout():
    """A root of two turns, the first with a cell that calls two sub-LLMs, one of which fails."""
    yield e.RolloutStarted(at=at(0), sandbox_backend="process")
    yield e.TrajectoryStarted(
        key=0,
        at=at(0),
        kind="root",
        model="m",
        opening=[e.Message("system", "rules"), e.Message("user", "question")],
    )
    yield turn(0, 0, tokens=(100, 10), content="I look", tool_calls=[e.ToolCall("c", "call_python_repl", "{}")])
    yield cell(1, 0, '{"code": "llm_batch(…)"}')
    for position in (0, 1):
        yield e.TrajectoryStarted(
            key=2 + position,
            at=at(3),
            kind="sub",
            model="m",
            opening=[e.Message("system", "sub"), e.Message("user", f"part {position}")],
            parent=1,
            batch=0,
            position=position,
            depth=1,
        )
    yield turn(2, 0, tokens=(20, 2), content="\\boxed{1}", retries=2)
    yield e.TrajectoryEnded(key=2, at=at(4), stop_reason="final_message", answer="1")
    yield e.TurnEnded(trajectory=3, index=0, at=at(4), seconds=0.1, cost=Decimal(0), error="HTTP 500: no")
    yield e.TrajectoryEnded(key=3, at=at(4), stop_reason="model_error", answer="", error="HTTP 500: no")
    yield e.ExecutionEnded(
        key=1,
        seconds=2.5,
        output="out \x00",
        shown="out \x00\n[Execution time: 2.50s]",
        output_chars=5,
        answer="draft",
        ready=False,
        variables=[{"name": "x", "type": "int", "size": "", "repr": "\ud800"}],
    )
    yield turn(0, 1, tokens=(130, 7), content="done")
    yield e.TrajectoryEnded(key=0, at=at(9), stop_reason="answer_ready", answer="42")
    yield e.RolloutEnded(
        at=at(10),
        stop_reason="answer_ready",
        answer="42",
        scoring_seconds=1.5,
        reward=1.0,
        metrics={"exact_match": 1.0},
    )


def play(rollout, events):
    recorder = Recorder(rollout)
    for event in events:
        recorder.record(event)
    rollout.refresh_from_db()


def test_the_trace_is_a_tree_and_its_sums_are_on_the_rollout(rollout):
    play(rollout, rlm_rollout())
    assert rollout.status == Rollout.Status.COMPLETED
    assert (rollout.reward, rollout.stop_reason, rollout.answer.text) == (1.0, "answer_ready", "42")
    assert (rollout.turns, rollout.cells, rollout.tool_calls) == (2, 1, 0)
    assert (rollout.batches, rollout.sub_calls, rollout.sub_turns, rollout.retries) == (1, 2, 1, 2)
    assert (rollout.main_prompt_tokens, rollout.main_completion_tokens) == (230, 17)
    assert (rollout.sub_prompt_tokens, rollout.sub_completion_tokens) == (20, 2)
    assert rollout.cost == Decimal("0.03")
    assert rollout.seconds == 8.5  # ten, without scoring
    root = rollout.trajectories.get(kind="root")
    subs = Trajectory.objects.filter(parent__turn__trajectory=root).order_by("position")
    assert [sub.stop_reason for sub in subs] == ["final_message", "model_error"]
    call_command("check_store")


def test_hostile_output_comes_back_as_it_was(rollout):
    play(rollout, rlm_rollout())
    execution = Execution.objects.select_related("output").get()
    assert execution.output.text == "out \x00"


def test_what_a_server_makes_up_does_not_break_the_record(rollout):
    story = list(rlm_rollout())
    story[2] = turn(
        0, 0, tokens=(100, 10), content="\x00\ud800", finish_reason="stop\x00" * 50, reasoning="\x00", error=""
    )
    story[3] = replace(story[3], name="\x00" * 500, call_id="\ud800" * 500, arguments="{\x00")
    play(rollout, story)
    assert rollout.status == Rollout.Status.COMPLETED
    assert Execution.objects.select_related("arguments").get().arguments.text == "{\x00"


def test_a_text_that_comes_again_is_stored_once(make_rollout):
    play(make_rollout(), rlm_rollout())
    before = Text.objects.count()
    play(make_rollout(), rlm_rollout())
    assert Text.objects.count() == before + 1  # the second question


def test_what_was_recorded_is_there_though_the_worker_dies(rollout):
    story = list(rlm_rollout())
    play(rollout, story[:8])
    assert rollout.status == Rollout.Status.RUNNING
    assert Turn.objects.count() == 2
    assert Execution.objects.get().finished is False


def test_another_attempt_does_not_mix_with_the_one_that_was_cut_off(rollout):
    play(rollout, list(rlm_rollout())[:8])
    rollout.attempt = 2
    rollout.save()
    play(rollout, rlm_rollout())
    assert (rollout.turns, rollout.sub_calls, rollout.cost) == (2, 2, Decimal("0.03"))
    assert rollout.earlier_cost == Decimal("0.02")
    assert rollout.trajectories.count() == 6
    call_command("check_store")


def with_provider_cost(story, dollars):
    return [
        replace(event, provider_cost=Decimal(dollars))
        if isinstance(event, e.TurnEnded) and not event.error
        else event
        for event in story
    ]


def test_what_the_provider_reports_is_summed_beside_our_cost(rollout):
    play(rollout, with_provider_cost(rlm_rollout(), "0.011"))
    turns = Turn.objects.exclude(trajectory__kind="judge")
    assert rollout.provider_cost == Decimal("0.011") * turns.filter(error="").count()
    assert rollout.cost == Decimal("0.03")
    call_command("check_store")
    Rollout.objects.update(provider_cost=None)
    with pytest.raises(CommandError, match="1 rollouts differ"):
        call_command("check_store")


def test_one_call_without_a_reported_cost_makes_their_sum_unknown(rollout):
    story = with_provider_cost(rlm_rollout(), "0.011")
    index = next(number for number, event in enumerate(story) if isinstance(event, e.TurnEnded))
    story[index] = replace(story[index], provider_cost=None)
    play(rollout, story)
    assert rollout.provider_cost is None
    call_command("check_store")


def test_an_attempt_that_was_taken_over_can_not_end_the_rollout(rollout):
    recorder = Recorder(rollout)
    story = list(rlm_rollout())
    for event in story[:-1]:
        recorder.record(event)
    Rollout.objects.update(attempt=2)
    with pytest.raises(ClaimLost):
        recorder.record(story[-1])
    rollout.refresh_from_db()
    assert (rollout.status, rollout.reward, rollout.answer) == (Rollout.Status.RUNNING, None, None)


def test_one_call_without_a_price_makes_the_cost_unknown(rollout):
    story = list(rlm_rollout())
    story[-3] = turn(0, 1, tokens=(130, 7), cost=None, content="done")
    play(rollout, story)
    assert rollout.cost is None
    call_command("check_store")


def test_a_failure_has_no_reward_and_says_whose_it_was(rollout):
    play(
        rollout,
        [
            e.RolloutStarted(at=at(0), sandbox_backend=""),
            e.TrajectoryStarted(key=0, at=at(0), kind="root", model="m", opening=[e.Message("user", "q")]),
            e.TurnEnded(trajectory=0, index=0, at=at(1), seconds=1, cost=Decimal(0), error="HTTP 400: too long"),
            e.TrajectoryEnded(key=0, at=at(1), stop_reason="prompt_too_long", answer=""),
            e.RolloutEnded(
                at=at(1), stop_reason="prompt_too_long", answer="", boundary="model", error="HTTP 400: too long"
            ),
        ],
    )
    assert (rollout.status, rollout.reward, rollout.turns) == (Rollout.Status.FAILED, None, 0)
    assert rollout.too_long
    assert rollout.cost == 0
    call_command("check_store")


@pytest.mark.parametrize(
    "column", ["main_prompt_tokens", "sub_completion_tokens", "sub_calls", "cells", "turns", "retries"]
)
def test_check_store_finds_a_wrong_sum(rollout, column):
    play(rollout, rlm_rollout())
    Rollout.objects.update(**{column: getattr(rollout, column) + 1})
    with pytest.raises(CommandError, match=f"1 rollouts differ from their parts: {rollout.pk}"):
        call_command("check_store")
