"""What an experiment has spent of its budget, and the estimated cost of its unfinished rollouts.

The rest of an arm is estimated from the mean of its ended rollouts, else from that of all arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce

from ..execution.arm_models import unpriced_models
from ..execution.spending import ledger
from ..models import Experiment, Rollout
from ..models.rollout_sums import MAIN_TOKENS, SUB_TOKENS

_ENDED = Q(status__in=[Rollout.Status.COMPLETED, Rollout.Status.FAILED])
_UNFINISHED = Q(status__in=[Rollout.Status.QUEUED, Rollout.Status.RUNNING])


@dataclass(frozen=True)
class Line:
    """One budget: its limit, the part that is spent, and the estimate of the rest.

    `limit` is None without a limit, `rest` is None if unknown.
    """

    name: str
    limit: Decimal | None
    spent: Decimal
    rest: Decimal | None

    @property
    def left(self) -> Decimal | None:
        """The unspent part; None without a limit."""
        return None if self.limit is None else max(Decimal(0), self.limit - self.spent)

    @property
    def share(self) -> float:
        """The spent share of the limit, from 0 to 1."""
        return min(1.0, float(self.spent / self.limit)) if self.limit else 0.0

    @property
    def is_short(self) -> bool:
        """Whether the rest will take more than is left."""
        return self.left is not None and self.rest is not None and self.rest > self.left


@dataclass(frozen=True)
class BudgetStanding:
    """The budgets of an experiment.

    `unpriced` are models without a price, for whose calls a budget in dollars cannot be enforced. `unpriced_calls`
    counts calls of unknown cost. `rest_basis` is the number of ended rollouts behind the estimate of the rest.
    """

    lines: tuple[Line, ...]
    rollouts_left: int
    rest_basis: int
    unpriced: tuple[str, ...]
    unpriced_calls: int
    is_reached: bool

    @property
    def is_set(self) -> bool:
        """Whether any budget is set."""
        return any(line.limit is not None for line in self.lines)

    @property
    def by_name(self) -> dict[str, Line]:
        """The lines by name: dollars, tokens, hours."""
        return {line.name: line for line in self.lines}


def budget_standing(experiment: Experiment) -> BudgetStanding:
    """Returns an experiment's standing against its budgets, in three queries that read no trace."""
    standing = ledger.standing(experiment.pk)
    rest = _rest(experiment)
    hours = Decimal(standing.seconds) / 3600
    done = rest.total - rest.unfinished
    return BudgetStanding(
        lines=(
            Line("dollars", experiment.budget_dollars, standing.spent.dollars, rest.dollars),
            Line("tokens", _decimal(experiment.budget_tokens), Decimal(standing.spent.tokens), rest.tokens),
            Line(
                "hours", _decimal(experiment.budget_hours), hours, hours / done * rest.unfinished if done else None
            ),
        ),
        rollouts_left=rest.unfinished,
        rest_basis=rest.ended,
        unpriced=tuple(unpriced_models(experiment)),
        unpriced_calls=ledger.unpriced_calls(experiment.pk),
        is_reached=experiment.paused_at is not None and experiment.paused_by_budget,
    )


def _time_left(hours: Decimal, done: int, unfinished: int) -> Decimal | None:
    """Returns the hours of the rest, at the speed so far; None if nothing has ended."""
    if not unfinished:
        return Decimal(0)
    return hours / done * unfinished if done else None


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))


@dataclass(frozen=True)
class _Rest:
    unfinished: int
    ended: int
    total: int
    dollars: Decimal | None
    tokens: Decimal | None


def _rest(experiment: Experiment) -> _Rest:
    """Returns the sum over arms of their unfinished rollouts times the mean of their ended ones.

    An arm without ended rollouts uses the mean of all arms; without any, the rest is unknown.
    """
    arms = list(
        experiment.rollouts()
        .order_by()
        .values("arm")
        .annotate(
            total=Count("id"),
            unfinished=Count("id", filter=_UNFINISHED),
            ended=Count("id", filter=_ENDED),
            priced=Count("cost", filter=_ENDED),
            dollars=Sum(F("cost") + Coalesce(F("judge_cost"), Decimal(0)), filter=_ENDED & Q(cost__isnull=False)),
            tokens=Sum(MAIN_TOKENS + SUB_TOKENS, filter=_ENDED),
        )
    )
    return _Rest(
        unfinished=sum(arm["unfinished"] for arm in arms),
        ended=sum(arm["ended"] for arm in arms),
        total=sum(arm["total"] for arm in arms),
        dollars=_scaled([(arm["unfinished"], arm["priced"], arm["dollars"]) for arm in arms]),
        tokens=_scaled([(arm["unfinished"], arm["ended"], arm["tokens"]) for arm in arms]),
    )


def _scaled(arms: Sequence[tuple[int, int, Decimal | int | None]]) -> Decimal | None:
    """Returns the expected sum, given (unfinished, ended, sum over the ended) of each arm."""
    ended = sum(count for _, count, _ in arms)
    if not any(unfinished for unfinished, _, _ in arms):
        return Decimal(0)
    if not ended:
        return None
    mean = sum((Decimal(total or 0) for _, _, total in arms), Decimal(0)) / ended
    return sum(
        (unfinished * (Decimal(total or 0) / count if count else mean) for unfinished, count, total in arms),
        Decimal(0),
    )
