"""Amounts of dollars and tokens, which budgets limit in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Amount:
    """An amount of dollars and tokens."""

    dollars: Decimal = Decimal(0)
    tokens: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.dollars + other.dollars, self.tokens + other.tokens)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.dollars - other.dollars, self.tokens - other.tokens)

    def larger(self, other: Amount) -> Amount:
        """Returns the larger of each part."""
        return Amount(max(self.dollars, other.dollars), max(self.tokens, other.tokens))

    def smaller(self, other: Amount) -> Amount:
        """Returns the smaller of each part."""
        return Amount(min(self.dollars, other.dollars), min(self.tokens, other.tokens))


NOTHING = Amount()


@dataclass(frozen=True)
class Budget:
    """The budget of an experiment; None means no limit. `seconds` counts time in which any of its rollouts ran."""

    dollars: Decimal | None = None
    tokens: int | None = None
    seconds: float | None = None

    def __bool__(self) -> bool:
        return (self.dollars, self.tokens, self.seconds) != (None, None, None)

    def allows(self, amount: Amount) -> bool:
        """Returns whether the budget covers this total amount."""
        return (self.dollars is None or amount.dollars <= self.dollars) and (
            self.tokens is None or amount.tokens <= self.tokens
        )

    def left(self, amount: Amount) -> Amount:
        """Returns the remainder after this amount; very large without a limit."""
        return Amount(
            _MUCH if self.dollars is None else max(Decimal(0), self.dollars - amount.dollars),
            int(_MUCH) if self.tokens is None else max(0, self.tokens - amount.tokens),
        )


_MUCH = Decimal(10**7)
