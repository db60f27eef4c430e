"""Findings: the result of one check, and the advice on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The status of a finding. OK needs nothing, WARN works with a limit or a risk, FAIL does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """The result of a check of `subject`. `advice` says what to do; it is empty only if `status` is OK."""

    subject: str
    status: Status
    found: str
    advice: str = ""


Check = Callable[[], Iterable[Finding]]


def ok(subject: str, found: str) -> Finding:
    """Returns a finding that needs nothing."""
    return Finding(subject, Status.OK, found)


def warn(subject: str, found: str, *, advice: str) -> Finding:
    """Returns a finding of a limit or a risk."""
    return Finding(subject, Status.WARN, found, advice)


def fail(subject: str, found: str, *, advice: str) -> Finding:
    """Returns a finding of something that does not work."""
    return Finding(subject, Status.FAIL, found, advice)


def run(checks: Sequence[tuple[str, Check]]) -> Iterator[Finding]:
    """Runs checks in order. A check that raises becomes a failed finding of its subject, and the next one runs."""
    for subject, check in checks:
        try:
            yield from check()
        except Exception as error:
            advice = "Mend what the other findings name first; if none does, report this message."
            yield fail(subject, f"the check itself failed: {type(error).__name__}: {error}", advice=advice)
