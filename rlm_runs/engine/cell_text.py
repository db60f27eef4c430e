"""The text of a cell that the model sees: truncated output, the last expression's value, errors and the time."""

from __future__ import annotations

from sandbox.contract import CellResult

_ERROR_KEPT = 500
"""Characters of an error's last line that are shown even when the output before it is truncated."""


def whole_text(result: CellResult, *, number: int) -> str:
    """Returns all output of a cell, followed by its traceback or by `Out[number]: …`, as a notebook shows it."""
    text = result.output
    if result.error is not None:
        text = _on_new_line(text, result.error.traceback.rstrip("\n"))
    if result.out is not None:
        text = _on_new_line(text, f"Out[{number}]: {result.out}")
    return text


def shown_text(result: CellResult, *, number: int, limit: int, time_limit: float) -> tuple[str, bool]:
    """Returns the text for the model, and whether it is truncated.

    The text consists of the first `limit` characters, a mark where it is truncated, a sentence if the cell timed
    out or lost its state, and `[Execution time: 0.57s]` as the last line.
    """
    whole = whole_text(result, number=number)
    chars = len(whole) + result.output_chars - len(result.output)
    cut = chars > limit
    text = whole[:limit]
    if cut:
        text += f"\n... [output truncated: the first {limit:,} of {chars:,} characters are shown]"
        if result.error is not None:
            text = _on_new_line(text, f"{result.error.type}: {result.error.message}"[:_ERROR_KEPT])
    for note in _notes(result, time_limit=time_limit):
        text = _on_new_line(text, f"[{note}]")
    return _on_new_line(text, f"[Execution time: {result.wall_seconds:.2f}s]"), cut


def _notes(result: CellResult, *, time_limit: float) -> list[str]:
    notes = []
    if result.state_lost:
        notes.append(
            "The REPL had to be restarted: all variables are gone, except those of the start. "
            'answer["content"] is kept, answer["ready"] is False.'
        )
    elif result.timed_out:
        notes.append(f"The cell was interrupted after {time_limit:g} s. Variables are kept.")
    if result.answer_rebound:
        notes.append(
            f"`answer` was bound to {_with_article(result.answer_rebound)}. It is the dict again: write "
            'answer["content"] = … and answer["ready"] = True.'
        )
    if result.leftover_threads or result.leftover_processes:
        notes.append(f"Left running: {result.leftover_threads} threads, {result.leftover_processes} processes.")
    return notes


def _on_new_line(text: str, line: str) -> str:
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}"


def _with_article(type_name: str) -> str:
    if type_name == "nothing":
        return type_name
    return f"{'an' if type_name[:1].lower() in 'aeiou' else 'a'} {type_name}"
