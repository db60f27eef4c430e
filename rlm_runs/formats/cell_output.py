"""Parses the text that a model was shown of a cell: the time, the error, and the sub-LLM calls.

Only the text is available, and a cell can print anything. Each part is therefore accepted only where the REPL
writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..engine.events import CallSummary

_TIME = re.compile(r"\n?\[Execution time: (\d{1,8}(?:\.\d{1,9})?)s\]\s*\Z")
_CUT = re.compile(r"\n?\.\.\. \[output truncated[^\]\n]*\]\s*\Z")
_CUT_WITHIN = re.compile(r"^\.\.\. \[output truncated[^\]\n]*\]$", re.MULTILINE)
_OUT = re.compile(r"^Out\[\d+\]: ", re.MULTILINE)
_FRAME = re.compile(r'^ +File ".*", line \d+', re.MULTILINE)
_ERROR = re.compile(r"^([A-Za-z_][\w.]*)(?:: ?(.*)|)\Z", re.DOTALL)
_TIMED_OUT = re.compile(
    r"\A\s*(?:Error: )?(?:(?:code|cell|repl) )?(?:execution )?timed out\b|^\[The cell was interrupted after ",
    re.IGNORECASE | re.MULTILINE,
)
_STATE_LOST = re.compile(r"\b(?:REPL|sandbox|worker|state)\b.{0,40}\b(?:restarted|recreated|reset|lost)\b", re.I)
_BATCH = re.compile(r"^llm_batch: (\d{1,7}) call\(s\) in (\d{1,8}(?:\.\d{1,9})?)s$")
_CALL = re.compile(
    r"^  \[(\d{1,7})\]: (\d{1,12}) tokens, (\d{1,7}) tool calls?, (\d{1,8}(?:\.\d{1,9})?)s(?: (.*))?$"
)
_MAX_TURNS = "max turns"


@dataclass(frozen=True)
class SummaryLine:
    """One sub-LLM call, parsed from its line. `stop_reason` and `error` are those of its trajectory."""

    position: int
    summary: CallSummary
    stop_reason: str
    error: str


@dataclass(frozen=True)
class SummaryBatch:
    """One `llm_batch` of a cell: its stated number of calls, their total time in seconds, and a line for each."""

    size: int
    seconds: float
    calls: tuple[SummaryLine, ...]


@dataclass(frozen=True)
class CellOutput:
    """The parsed text of a cell. `seconds` is None if the text has no time."""

    seconds: float | None
    truncated: bool
    out: str | None
    error_type: str
    error_message: str
    timed_out: bool
    state_lost: bool
    batches: tuple[SummaryBatch, ...]


def read_cell_output(shown: str) -> CellOutput:
    """Returns the parsed text of a cell."""
    time = _TIME.search(shown)
    body = shown[: time.start()] if time else shown
    cut = _CUT.search(body) or _CUT_WITHIN.search(body)
    outs = list(_OUT.finditer(body))
    error_type, error_message = ("", "") if outs else _error(body)
    timed_out = _TIMED_OUT.search(body) is not None
    return CellOutput(
        seconds=float(time[1]) if time else None,
        truncated=cut is not None,
        out=body[outs[-1].end() : cut.start() if cut else None] if outs else None,
        error_type=error_type,
        error_message=error_message,
        timed_out=timed_out,
        state_lost=timed_out and _STATE_LOST.search(body) is not None,
        batches=tuple(_batches(body)),
    )


def _error(body: str) -> tuple[str, str]:
    """Returns type and message of the traceback at the end of the text; two empty strings without one."""
    frames = list(_FRAME.finditer(body))
    if not frames:
        return "", ""
    lines = body[frames[-1].end() :].split("\n")[1:]
    first = next((index for index, line in enumerate(lines) if line and not line[0].isspace()), None)
    found = None if first is None else _ERROR.match("\n".join(lines[first:]).rstrip())
    return (found[1], found[2] or "") if found else ("", "")


def _batches(body: str) -> Iterator[SummaryBatch]:
    """Yields the `llm_batch` reports, anywhere in the text. Not by splitlines, because control characters are
    text.
    """
    lines = body.split("\n")
    for index, line in enumerate(lines):
        if head := _BATCH.match(line):
            calls: list[SummaryLine] = []
            for following in lines[index + 1 :]:
                call = _CALL.match(following)
                if call is None or any(int(call[1]) == seen.position for seen in calls):
                    break
                calls.append(_summary_line(call))
            yield SummaryBatch(size=int(head[1]), seconds=float(head[2]), calls=tuple(calls))


def _summary_line(found: re.Match[str]) -> SummaryLine:
    summary = CallSummary(tokens=int(found[2]), tool_calls=int(found[3]), seconds=float(found[4]))
    mark = (found[5] or "").strip()
    stop_reason, error = "final_message", ""
    if _MAX_TURNS in mark and summary.tokens:
        stop_reason = "max_turns"
    elif _MAX_TURNS in mark:  # this mark also appears if the call itself failed
        stop_reason, error = "not_recorded", f"it used no tokens, so that it failed; its line says {mark!r}"
    elif mark not in ("", "✓"):
        stop_reason, error = "error", mark
    return SummaryLine(position=int(found[1]), summary=summary, stop_reason=stop_reason, error=error)
