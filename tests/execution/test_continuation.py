"""A claimed rollout whose attempt was cut off resumes in the same rows, or restarts and logs why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from rlm_runs.engine import events as e
from rlm_runs.engine.recording import Recording
from rlm_runs.execution import lost_workers, queue
from rlm_runs.execution.continuation import continuation_of
from rlm_runs.execution.recorder import ClaimLost, Recorder
from rlm_runs.models import Execution, Rollout, RolloutNote, Trajectory
from tests.execution.test_recorder import at, play, rlm_rollout

Status = Rollout.Status


def cut_off(rollout, *, events):
    """The rollout after these events, queued again and claimed by the next worker."""
    play(rollout, list(rlm_rollout())[:events])
    queue.give_back(rollout)
    (claimed,) = queue.claim(1)
    return claimed


def test_an_attempt_with_a_turn_goes_on_under_its_number(rollout):
    claimed = cut_off(rollout, events=4)
    assert (claimed.attempt, claimed.claims, claimed.cut_off) == (1, 1, True)
    assert continuation_of(claimed).recording.turns == 1


def test_an_attempt_without_a_turn_is_a_new_one(rollout):
    claimed = cut_off(rollout, events=2)
    assert (claimed.attempt, claimed.cut_off) == (2, False)
    assert continuation_of(claimed) is None


def test_a_claim_that_is_released_does_not_count(rollout):
    cut_off(rollout, events=4)
    assert queue.release([]) == 1
    rollout.refresh_from_db()
    assert (rollout.status, rollout.attempt, rollout.cut_off) == (Status.QUEUED, 1, True)


def test_what_follows_is_written_into_the_same_rows(rollout):
    story = list(rlm_rollout())
    claimed = cut_off(rollout, events=7)
    trajectories = set(Trajectory.objects.values_list("pk", flat=True))
    continuation = continuation_of(claimed)
    recorder = Recorder(claimed, continuation.trace)
    key = {pk: key for key, pk in continuation.trace.trajectories.items()}
    root = key[Trajectory.objects.get(kind="root").pk]
    (cell_key,) = continuation.trace.executions
    recorder.record(e.RolloutResumed(at=at(100), sandbox_backend="docker", turns=1, seconds=4.0))
    recorder.record(replace(story[1], key=root))
    again = {
        name: getattr(story[3], name) for name in ("turn", "position", "kind", "name", "call_id", "arguments")
    }
    recorder.record(e.ExecutionStarted(key=cell_key, trajectory=root, at=at(101), **again))
    recorder.record(e.TurnEnded(trajectory=root, index=1, at=at(103), seconds=1, content="done", cost=0))
    recorder.record(e.RolloutEnded(at=at(110), stop_reason="max_turns", answer="", reward=0.0, scoring_seconds=1))
    claimed.refresh_from_db()
    assert set(Trajectory.objects.values_list("pk", flat=True)) == trajectories
    assert Execution.objects.get().started_at == at(101)
    assert (claimed.turns, claimed.attempt, claimed.status, claimed.cut_off) == (2, 1, Status.COMPLETED, False)
    assert (claimed.seconds, claimed.started_at, claimed.sandbox_backend) == (13.0, at(0), "docker")
    (note,) = claimed.notes.all()
    assert (str(note), note.attempt) == ("resumed after turn 1", 1)
    call_command("check_store")


def test_an_interrupted_conversation_is_open_again(rollout):
    Recorder(rollout).record_all(
        [*list(rlm_rollout())[:4], e.TrajectoryEnded(key=0, at=at(5), stop_reason="interrupted", answer="x")]
    )
    queue.give_back(rollout)
    (claimed,) = queue.claim(1)
    continuation = continuation_of(claimed)
    assert continuation.recording.root.end is None
    assert continuation.recording.seconds == 5.0
    (key,) = continuation.trace.trajectories
    opened = e.TrajectoryStarted(key=key, at=at(9), kind="root", model="m", opening=[])
    Recorder(claimed, continuation.trace).record(opened)
    row = Trajectory.objects.get()
    assert (row.stop_reason, row.finished_at, row.answer_id, row.started_at) == ("", None, None, at(0))


def test_time_in_the_queue_is_not_spent(rollout):
    claimed = cut_off(rollout, events=4)
    resumed = {"rollout": claimed, "attempt": 1, "kind": RolloutNote.Kind.RESUMED}
    RolloutNote.objects.create(**resumed, at=at(1), turn=1, seconds=30.0)
    assert continuation_of(claimed).recording.seconds == 31.0  # the last event is a cell's start, at 2


def test_an_attempt_that_ends_its_workers_is_given_up(rollout):
    claimed = cut_off(rollout, events=4)
    for number in range(3):
        assert continuation_of(claimed).refusal == ""
        RolloutNote.objects.create(
            rollout=claimed, attempt=1, kind=RolloutNote.Kind.RESUMED, at=at(10 + number), turn=1, seconds=1
        )
    assert continuation_of(claimed).refusal == "3 workers in a row ended after turn 1"


def test_a_resume_that_was_given_back_for_another_reason_does_not_count(rollout):
    claimed = cut_off(rollout, events=4)
    for number in range(4):
        RolloutNote.objects.create(
            rollout=claimed, attempt=1, kind=RolloutNote.Kind.RESUMED, at=at(10 + number), turn=1, seconds=1
        )
        queue.give_back(claimed, counts=False)
        (claimed,) = queue.claim(1)
    assert continuation_of(claimed).refusal == ""
    assert (claimed.attempt, claimed.given_back) == (1, 0)


def test_a_new_attempt_in_the_same_claim_says_why(rollout):
    claimed = cut_off(rollout, events=4)
    claimed.attempt += 1
    recorder = Recorder(claimed)
    recorder.note(RolloutNote(kind=RolloutNote.Kind.RESTARTED, at=timezone.now(), reason="cell 1 printed …"))
    for event in rlm_rollout():
        recorder.record(event)
    claimed.refresh_from_db()
    assert (claimed.attempt, claimed.status, claimed.turns) == (2, Status.COMPLETED, 2)
    assert [str(note) for note in claimed.notes.all()] == ["restarted: cell 1 printed …"]
    assert claimed.earlier_cost > 0
    call_command("check_store")


def test_a_worker_that_lost_its_claim_cannot_end_what_goes_on(rollout):
    stale = Recorder(rollout)
    story = list(rlm_rollout())
    stale.record_all(story[:4])
    Rollout.objects.update(lease_expires_at=timezone.now() - timedelta(hours=1))
    lost_workers.reap()
    (claimed,) = queue.claim(1)
    assert claimed.attempt == rollout.attempt
    with pytest.raises(ClaimLost):
        stale.record_all(story[4:])
    assert queue.running_attempt(rollout).count() == 0
    assert Recording.of(continuation_of(claimed).trace.events).turns == 1


def test_cancelling_a_rollout_that_waits_to_go_on_keeps_its_sums(rollout):
    from rlm_runs.execution import control

    play(rollout, list(rlm_rollout())[:8])
    queue.give_back(rollout)
    control.cancel(rollout.experiment)
    rollout.refresh_from_db()
    assert (rollout.status, rollout.turns, rollout.sub_calls, rollout.cells) == (Status.CANCELLED, 1, 2, 1)
    call_command("check_store")
