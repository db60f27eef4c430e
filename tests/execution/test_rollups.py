"""Roll-ups of a finished trace: times, use of the REPL, and unknown values."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from django.core.management import CommandError, call_command

from rlm_runs.engine import events as e
from rlm_runs.execution.recorder import Recorder
from rlm_runs.models import Execution, Rollout

from .test_recorder import at, cell, play, rlm_rollout, turn


def ended(key, *, seconds=1.0, answer="", ready=False, **more):
    return e.ExecutionEnded(
        key=key, seconds=seconds, output="", shown="", output_chars=0, answer=answer, ready=ready, **more
    )


def sub(key, *, parent, start, end, batch=0, position=0, depth=1):
    yield e.TrajectoryStarted(
        key=key,
        at=at(start),
        kind="sub",
        model="m",
        opening=[],
        parent=parent,
        batch=batch,
        position=position,
        depth=depth,
    )
    yield turn(key, 0, tokens=(1, 1))
    yield e.TrajectoryEnded(key=key, at=at(end), stop_reason="final_message", answer="")


def story(cells, *, stop_reason="answer_ready", reward=1.0):
    """A root with one cell per turn; `cells` are (events in the cell, its end)."""
    yield e.RolloutStarted(at=at(0), sandbox_backend="process")
    yield e.TrajectoryStarted(key=0, at=at(0), kind="root", model="m", opening=[])
    for number, (inside, end) in enumerate(cells):
        yield turn(0, number, tokens=(10, 1), retry_seconds=0.25)
        yield replace(cell(end.key, number, "{}"), at=at(10 * number))
        yield from inside
        yield end
    yield e.TrajectoryEnded(key=0, at=at(90), stop_reason=stop_reason, answer="a")
    yield e.RolloutEnded(at=at(90), stop_reason=stop_reason, answer="a", reward=reward)


def test_where_the_time_went(rollout):
    first = [
        *sub(10, parent=1, start=1, end=4),
        *sub(11, parent=1, start=2, end=3, position=1),
        *sub(12, parent=1, start=6, end=7, batch=1),
        *sub(13, parent=1, start=8, end=30, batch=2),  # still under way when its cell is over
    ]
    play(rollout, story([(first, ended(1, seconds=9.0)), ([], ended(2, seconds=0.5))]))
    assert rollout.cell_seconds == 9.5
    assert rollout.sub_seconds == 3 + 1 + 1
    assert (rollout.model_seconds, rollout.retry_seconds, rollout.tool_seconds) == (1.5, 0.5, 0.0)
    assert (rollout.batches, rollout.max_batch, rollout.max_parallel) == (3, 2, 2)
    call_command("check_store")


def test_calls_of_sub_rlms_are_not_the_roots(rollout):
    inside = [*sub(10, parent=1, start=1, end=8)]
    inside[2:2] = [
        replace(cell(20, 0, "{}"), trajectory=10),
        *(event for n in range(4) for event in sub(30 + n, parent=20, start=2, end=7, position=n, depth=2)),
        ended(20, seconds=6.0, error_type="E"),
    ]
    play(rollout, story([(inside, ended(1, seconds=9.0, ready=True))]))
    assert (rollout.cells, rollout.sub_calls, rollout.batches) == (2, 5, 2)
    assert (rollout.cell_seconds, rollout.sub_seconds, rollout.cell_errors) == (9.0, 7.0, 0)
    assert (rollout.max_batch, rollout.max_parallel) == (1, 1)
    call_command("check_store")


def test_how_the_repl_was_used(rollout):
    cells = [
        ([], ended(1, error_type="NameError", error_message="x")),
        ([], ended(2, truncated=True, repairs=("code_fence", "indentation"))),
        ([], ended(3, answer="draft")),
        ([], ended(4, answer="draft", timed_out=True)),
        ([], ended(5, answer="")),
        ([], ended(6, answer="42", ready=True)),
    ]
    play(rollout, story(cells))
    assert (rollout.cell_errors, rollout.cells_cut, rollout.cells_timed_out) == (1, 1, 1)
    assert rollout.cells_repaired == 1
    assert Execution.objects.get(repairs__gt="").repairs == "code_fence,indentation"
    assert (rollout.first_answer_turn, rollout.answer_edits) == (3, 2)
    assert rollout.failure_modes == ["no_sub_call"]
    call_command("check_store")


def test_an_answer_that_was_never_written_has_no_first_turn(rollout):
    play(rollout, story([([], ended(1))], stop_reason="max_turns", reward=0.0))
    assert (rollout.first_answer_turn, rollout.answer_edits) == (None, None)
    assert rollout.failure_modes == ["never_submitted", "no_sub_call", "budget"]
    call_command("check_store")


def test_errors_that_come_again_are_a_loop(rollout):
    cells = [([], ended(number, error_type="E", error_message="no")) for number in (1, 2, 3)]
    play(rollout, story(cells))
    assert "repeated_error" in rollout.failure_modes


def test_a_model_without_a_repl_has_no_cells_that_could_go_wrong(rollout, arm):
    arm.scaffold = "llm"
    arm.save()
    rollout.arm = arm
    play(rollout, story([], stop_reason="final_message", reward=0.0))
    assert (rollout.cells, rollout.cell_seconds, rollout.sub_seconds) == (0, 0.0, 0.0)
    assert (rollout.cell_errors, rollout.max_batch, rollout.max_parallel) == (None, None, None)
    assert rollout.failure_modes == ["wrong_answer"]
    call_command("check_store")


def test_tokens_that_no_call_reported_are_not_zero(rollout):
    events = [
        replace(event, usage=e.Usage(prompt=7)) if isinstance(event, e.TurnEnded) else event
        for event in story([([], ended(1))])
    ]
    play(rollout, events)
    assert rollout.main_prompt_tokens == 7
    assert (rollout.main_completion_tokens, rollout.main_cached_tokens) == (None, None)
    assert (rollout.sub_prompt_tokens, rollout.sub_completion_tokens) == (0, 0)  # nobody was called
    call_command("check_store")


def summary_rollout(**reported):
    """A rollout as an importer records it: turns without numbers, sub-calls in one line."""
    yield e.RolloutStarted(at=at(0), sandbox_backend="")
    yield e.TrajectoryStarted(key=0, at=at(0), kind="root", model="m", opening=[])
    yield e.TurnEnded(trajectory=0, index=0, at=at(0), seconds=0.0)
    yield cell(1, 0, "{}")
    for position in range(3):
        yield e.TrajectoryStarted(
            key=2 + position,
            at=at(0),
            kind="sub",
            model="m",
            opening=[],
            parent=1,
            batch=0,
            position=position,
            depth=1,
            summary=e.CallSummary(tokens=100, tool_calls=2, seconds=3.5),
        )
        yield e.TrajectoryEnded(key=2 + position, at=at(3.5), stop_reason="final_message", answer="")
    yield ended(1, seconds=4.0, answer=None, ready=True)
    yield e.TrajectoryEnded(key=0, at=at(9), stop_reason="answer_ready", answer="42")
    yield e.RolloutEnded(
        at=at(9), stop_reason="answer_ready", answer="42", reward=0.0, reported=e.ReportedSums(**reported)
    )


def test_the_sums_of_a_file_stand_and_what_it_does_not_say_is_not_known(rollout):
    said = {"seconds": 50.5, "turns": 7, "main_prompt_tokens": 5, "sub_calls": 3, "sub_prompt_tokens": 250}
    play(rollout, summary_rollout(**said))
    assert rollout.reported
    assert {name: getattr(rollout, name) for name in said} == said
    assert (rollout.cells, rollout.batches, rollout.max_batch, rollout.cell_seconds) == (1, 1, 3, 4.0)
    unknown = ("main_completion_tokens", "sub_turns", "cost", "judge_cost", "max_parallel", "model_seconds")
    assert [name for name in unknown if getattr(rollout, name) is not None] == []
    assert rollout.failure_modes == ["wrong_answer"]
    call = rollout.trajectories.filter(kind="sub").first()
    assert call.summary == {"tokens": 100, "tool_calls": 2, "seconds": 3.5}
    call_command("check_store")


def test_sums_without_a_transcript(rollout):
    play(
        rollout,
        [
            e.RolloutStarted(at=at(0), sandbox_backend=""),
            e.RolloutEnded(
                at=at(9),
                stop_reason="not_recorded",
                answer=None,
                reward=0.0,
                reported=e.ReportedSums(turns=9, sub_calls=0),
            ),
        ],
    )
    assert (rollout.turns, rollout.cells, rollout.cell_errors, rollout.seconds) == (9, None, None, None)
    assert (rollout.sub_calls, rollout.sub_prompt_tokens, rollout.answer_id) == (0, 0, None)
    assert rollout.failure_modes == ["no_sub_call", "wrong_answer"]
    call_command("check_store")


@pytest.mark.parametrize("column", ["cells", "cell_errors", "cells_cut", "cells_timed_out", "cells_repaired"])
def test_check_store_looks_at_what_the_transcript_of_an_import_tells(rollout, column):
    play(rollout, summary_rollout(turns=99))
    Rollout.objects.update(**{column: 17})
    with pytest.raises(CommandError, match="1 rollouts differ"):
        call_command("check_store")


@pytest.mark.parametrize(
    "changed",
    [
        {"sub_seconds": 8.0},
        {"model_seconds": None},
        {"cell_seconds": 1.0},
        {"max_batch": 9},
        {"max_parallel": 9},
        {"first_answer_turn": None},
        {"answer_edits": 9},
        {"failure_modes": ["made_up"]},
    ],
)
def test_check_store_finds_what_is_wrong_in_a_live_rollout(rollout, changed):
    play(rollout, rlm_rollout())
    Rollout.objects.update(**changed)
    with pytest.raises(CommandError, match="1 rollouts differ"):
        call_command("check_store")


def test_the_queries_of_an_end_do_not_grow_with_the_trace(make_rollout, monkeypatch):
    statements = []
    execute = psycopg.Cursor.execute

    def counted(cursor, query, *arguments, **options):
        statements.append(query)
        return execute(cursor, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    for size in (2, 30):
        cells = [([*sub(100 + n, parent=n + 1, start=1, end=2)], ended(n + 1)) for n in range(size)]
        *before, last = story(cells)
        recorder = Recorder(make_rollout())
        recorder.record_all(before)
        del statements[:]
        recorder.record(last)
        # The lock of texts, the answer, three questions about the trace, and the rollout.
        assert len([one for one in statements if "SAVEPOINT" not in str(one)]) == 6


def test_the_speed_of_streamed_answers(rollout):
    """Answers that were not streamed, sub-LLMs, and answers without a rate do not count."""
    streamed = [
        {"tokens": (10, 101), "first_token_seconds": 1.0, "tokens_per_second": 50.0},  # 2 s for 100 tokens
        {"tokens": (10, 301), "first_token_seconds": 2.0, "tokens_per_second": 100.0},  # 3 s for 300 tokens
        {"tokens": (10, 1), "first_token_seconds": 6.0},
        {"tokens": (10, 999)},
    ]

    def events():
        yield e.RolloutStarted(at=at(0), sandbox_backend="")
        yield e.TrajectoryStarted(key=0, at=at(0), kind="root", model="m", opening=[])
        for index, told in enumerate(streamed):
            yield turn(0, index, **told)
        yield e.TrajectoryEnded(key=0, at=at(9), stop_reason="final_message", answer="a")
        yield e.RolloutEnded(at=at(9), stop_reason="final_message", answer="a", reward=1.0)

    play(rollout, events())
    assert rollout.first_token_seconds == pytest.approx(3.0)
    assert rollout.tokens_per_second == pytest.approx(80.0)
    call_command("check_store")
    Rollout.objects.update(tokens_per_second=81)
    with pytest.raises(CommandError):
        call_command("check_store")


def test_without_streams_the_speed_is_not_known(rollout):
    play(rollout, story([([], ended(1))]))
    assert (rollout.first_token_seconds, rollout.tokens_per_second) == (None, None)
