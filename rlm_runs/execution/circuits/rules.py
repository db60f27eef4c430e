"""The rules by which a circuit opens. Times are in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..circuit_settings import CircuitSettings


@dataclass
class Health:
    """A model's record: consecutive failures and their start, and recent calls as (second, good, bad)."""

    failures: int = 0
    failing_since: float | None = None
    last_good_at: float | None = None
    outcomes: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, good: Sequence[bool], *, now: float, window: int) -> None:
        """Adds outcomes of calls, in their order."""
        for each in good:
            if each:
                self.failures, self.failing_since, self.last_good_at = 0, None, now
            else:
                self.failures += 1
                self.failing_since = now if self.failing_since is None else self.failing_since
        kept = [one for one in self.outcomes if one[0] > now - window]
        if good:
            kept.append((int(now), sum(good), len(good) - sum(good)))
        self.outcomes = _merged(kept)

    def fails(self, rules: CircuitSettings, *, now: float) -> bool:
        """Returns whether the circuit must open."""
        if self.failing_since is None:
            return False
        if self.failures >= rules.in_a_row and now - self.failing_since >= rules.for_seconds:
            return True
        good, bad = (sum(one[index] for one in self.outcomes) for index in (1, 2))
        return good + bad >= rules.least_calls and bad >= rules.share * (good + bad)


def _merged(outcomes: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Returns the outcomes with one entry per second."""
    found: dict[int, tuple[int, int]] = {}
    for second, good, bad in outcomes:
        before = found.get(second, (0, 0))
        found[second] = before[0] + good, before[1] + bad
    return [(second, good, bad) for second, (good, bad) in sorted(found.items())]
