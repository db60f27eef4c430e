"""What servers do not say, cut or refuse, from the events to the store and the figures."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.management import call_command

from rlm_runs.analysis import aggregates
from rlm_runs.analysis.filters import condition, parse
from rlm_runs.engine.events import FailedTry, Usage
from rlm_runs.models import Rollout, Turn
from tests.factories.traces import Story, make_experiment

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
TRY = FailedTry(at=AT, seconds=1.5, waited=0.5, status=503, message="HTTP 503: warming\x00 up")


@pytest.fixture
def rollout(db):
    return (
        make_experiment().rollouts().select_related("arm", "example").filter(arm__scaffold="rlm").order_by("pk")[0]
    )


def play(rollout, *usages, stop_reason="answer_ready", **more):
    story = Story(rollout)
    root = story.root()
    for usage in usages:
        story.turn(root, "I think", usage=usage, **more)
    story.end(root, reward=1.0, answer="x", stop_reason=stop_reason)
    return rollout


def test_a_truncated_prompt_is_on_the_turn_the_rollout_and_the_filter(rollout):
    play(rollout, Usage(prompt=900, completion=5), Usage(prompt=2048, completion=5, sent=9000))
    assert list(Turn.objects.order_by("index").values_list("sent_tokens", flat=True)) == [None, 9000]
    assert (rollout.truncated_prompts, rollout.estimated_calls) == (1, 0)
    assert list(Rollout.objects.filter(condition(parse("truncated:>0")))) == [rollout]
    call_command("check_store")


def test_estimates_are_marked_and_counted(rollout):
    play(rollout, Usage(prompt=900, completion=5, estimated=True), Usage(prompt=1000, completion=5))
    assert list(Turn.objects.order_by("index").values_list("tokens_estimated", flat=True)) == [True, False]
    assert (rollout.estimated_calls, rollout.main_prompt_tokens) == (1, 1900)
    assert list(Rollout.objects.filter(condition(parse("estimated:1")))) == [rollout]
    call_command("check_store")


def test_each_failed_try_is_stored(rollout):
    play(rollout, Usage(prompt=900, completion=5), failed_tries=[TRY, TRY], retries=2)
    tries = Turn.objects.get().failed_tries
    assert len(tries) == 2
    assert (tries[0]["status"], tries[0]["seconds"], tries[0]["waited"]) == (503, 1.5, 0.5)
    assert tries[0]["at"] == AT.isoformat()
    assert "\x00" not in tries[0]["message"]


def test_arms_say_how_many_are_uncertain(rollout):
    play(rollout, Usage(prompt=2048, completion=5, sent=9000, estimated=True))
    snapshot = aggregates.snapshot(rollout.experiment)
    found = aggregates.uncertain_tokens(snapshot)
    assert found == {rollout.arm_id: aggregates.UncertainTokens(truncated=1, estimated=1)}
    assert [arm.uncertain.truncated for arm in aggregates.summary(snapshot).arms] == [
        int(arm.pk == rollout.arm_id) for arm in snapshot.arms
    ]
    truncated, estimated = aggregates.uncertain_words(found.values())
    assert "1 rollout the server read a part" in truncated
    assert "1 rollout are estimates" in estimated
    assert aggregates.uncertain_words([]) == []


def test_a_window_that_was_exceeded_is_a_failure_mode_of_its_own(rollout):
    play(rollout, Usage(prompt=900, completion=5), stop_reason="window_exceeded")
    assert rollout.status == Rollout.Status.COMPLETED
    assert "window_exceeded" in rollout.failure_modes
    assert not {"budget", "too_long"} & set(rollout.failure_modes)
    call_command("check_store")
