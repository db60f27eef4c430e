"""Reading the text of a cell."""

from __future__ import annotations

import pytest

from rlm_runs.formats.cell_output import read_cell_output

from .files import BATCH


def test_the_time_and_the_value():
    found = read_cell_output("1\nOut[3]: {'a': 1}\n[Execution time: 0.57s]")
    assert (found.seconds, found.out, found.error_type, found.truncated) == (0.57, "{'a': 1}", "", False)


def test_a_text_without_any_of_it():
    found = read_cell_output("just words")
    assert (found.seconds, found.out, found.error_type, found.batches) == (None, None, "", ())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "Traceback (most recent call last):\n  File \"<cell>\", line 1, in <module>\nKeyError: 'a'",
            ("KeyError", "'a'"),
        ),
        (
            '  File "<cell>", line 2\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n[Execution time: 0.1s]',
            ("SyntaxError", "invalid syntax"),
        ),
        (
            'before\nTraceback (most recent call last):\n  File "a.py", line 1, in f\nA: one\n\n'
            "During handling of the above exception, another exception occurred:\n\n"
            'Traceback (most recent call last):\n  File "a.py", line 9, in g\npkg.mod.Wrong: two\nlines',
            ("pkg.mod.Wrong", "two\nlines"),
        ),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1, in f\nKeyboardInterrupt',
            ("KeyboardInterrupt", ""),
        ),
        ('  File "a.py", line 1, in f\nnot an error at all', ("", "")),
        ('  File "a.py", line 1, in f\nKeyError: 1\nOut[1]: 2', ("", "")),  # printed, and the cell went on
    ],
)
def test_the_error_at_the_end(text, error):
    found = read_cell_output(text)
    assert (found.error_type, found.error_message) == error


def test_a_cut_is_seen_by_its_mark():
    assert read_cell_output("x\n... [output truncated]\n[Execution time: 1s]").truncated
    ours = "x\n... [output truncated: the first 8,192 of 9,000 characters are shown]\nE: x\n[Execution time: 1s]"
    assert read_cell_output(ours).truncated
    assert not read_cell_output("I wrote ... [output truncated] into a line").truncated


def test_batches_stand_anywhere_in_the_output():
    (batch,) = read_cell_output(BATCH).batches
    assert (batch.size, batch.seconds, len(batch.calls)) == (3, 9.5, 3)
    assert [call.summary.tokens for call in batch.calls] == [1200, 3000, 0]
    assert [call.stop_reason for call in batch.calls] == ["final_message", "max_turns", "not_recorded"]
    assert batch.calls[2].error  # no tokens: the mark does not always mean the turns


def test_a_call_with_another_mark_failed():
    (batch,) = read_cell_output(
        "llm_batch: 1 call(s) in 1.0s\n  [0]: 3 tokens, 0 tool calls, 1.0s ✗ HTTP 500"
    ).batches
    assert (batch.calls[0].stop_reason, batch.calls[0].error) == ("error", "✗ HTTP 500")


def test_several_batches_and_lines_that_come_twice():
    text = (
        "llm_batch: 1 call(s) in 1.0s\n  [0]: 3 tokens, 0 tool calls, 1.0s ✓\n"
        "llm_batch: 2 call(s) in 2.0s\n  [0]: 4 tokens, 1 tool call, 1.0s ✓\n  [0]: 5 tokens, 0 tool calls, 1.0s ✓"
    )
    assert [len(batch.calls) for batch in read_cell_output(text).batches] == [1, 1]


def test_control_characters_are_text():
    found = read_cell_output("a\r\x07\x0b\u2028b\nllm_batch: 0 call(s) in 0.0s\n[Execution time: 2.00s]")
    assert found.seconds == 2.0
    assert len(found.batches) == 1


def test_a_cell_that_timed_out():
    found = read_cell_output(
        "Error: Code execution timed out after 120s. The REPL was restarted; its state is lost."
    )
    assert (found.timed_out, found.state_lost) == (True, True)
    assert not read_cell_output("the request timed out once").timed_out
