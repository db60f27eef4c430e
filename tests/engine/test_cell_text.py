"""The text of a cell for the model."""

from __future__ import annotations

from rlm_runs.engine.cell_text import shown_text, whole_text
from sandbox.contract import CellError, CellResult


def shown(result, *, limit=8192):
    return shown_text(result, number=3, limit=limit, time_limit=120)


def test_output_value_and_time_stand_as_in_a_notebook():
    result = CellResult(output="hello\n", output_chars=6, out="42", wall_seconds=0.567)
    assert shown(result) == ("hello\nOut[3]: 42\n[Execution time: 0.57s]", False)


def test_a_silent_cell_shows_its_time_only():
    assert shown(CellResult(wall_seconds=0.001)) == ("[Execution time: 0.00s]", False)


def test_output_of_the_limit_is_shown_whole_and_one_more_is_cut():
    text, cut = shown(CellResult(output="x" * 8192, output_chars=8192))
    assert not cut
    assert text == "x" * 8192 + "\n[Execution time: 0.00s]"
    text, cut = shown(CellResult(output="x" * 8193, output_chars=8193))
    assert cut
    assert text.split("\n")[0] == "x" * 8192
    assert "the first 8,192 of 8,193 characters" in text


def test_what_the_sandbox_dropped_counts_as_written():
    text, _ = shown(CellResult(output="y" * 10_000, output_chars=5_000_000))
    assert "of 5,000,000 characters" in text


def test_an_error_is_told_though_the_output_is_cut():
    error = CellError(type="ValueError", message="bad", traceback="Traceback …\nValueError: bad\n")
    result = CellResult(output="z" * 20_000, output_chars=20_000, error=error)
    text, _ = shown(result)
    assert text.split("\n")[-2] == "ValueError: bad"
    assert whole_text(result, number=3).endswith("ValueError: bad")


def test_what_happened_to_the_state_is_told():
    text, _ = shown(CellResult(timed_out=True))
    assert "[The cell was interrupted after 120 s. Variables are kept.]" in text
    text, _ = shown(CellResult(timed_out=True, state_lost=True))
    assert "all variables are gone" in text
    assert "Variables are kept" not in text


def test_an_answer_that_was_bound_to_something_else_is_told():
    assert "[`answer` was bound to a str. It is the dict again" in shown(CellResult(answer_rebound="str"))[0]
    assert "[`answer` was bound to an int. It" in shown(CellResult(answer_rebound="int"))[0]
    assert "[`answer` was bound to nothing. It" in shown(CellResult(answer_rebound="nothing"))[0]
