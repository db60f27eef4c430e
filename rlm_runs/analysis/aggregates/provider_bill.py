"""The costs that providers report for an experiment's rollouts, beside those of the price list.

It reads an index of the rollouts with a reported cost, so it costs nothing if no provider reports any.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Count, Q, Sum

from rlm_runs.models import Rollout

from .snapshot import Snapshot


@dataclass(frozen=True)
class ProviderBill:
    """Dollars of the last attempts. `reported` covers `rollouts`; the others cover the `priced` ones among them.

    `ours` is the cost by the price list, `theirs` what the provider reports for the same rollouts.
    """

    rollouts: int
    reported: Decimal
    priced: int
    ours: Decimal
    theirs: Decimal

    @property
    def difference(self) -> Decimal:
        """Dollars that the provider reports beyond those of the price list."""
        return self.theirs - self.ours


def provider_bill(snapshot: Snapshot) -> ProviderBill | None:
    """Returns the bill of an experiment; None if no provider reports any cost. Read once per snapshot."""
    return snapshot.remembered("provider bill", lambda: _read(snapshot.experiment.pk))


def _read(experiment: int) -> ProviderBill | None:
    priced = Q(cost__isnull=False)
    nothing = Decimal(0)
    found = Rollout.objects.filter(experiment=experiment, provider_cost__isnull=False).aggregate(
        rollouts=Count("pk"),
        reported=Sum("provider_cost", default=nothing),
        priced=Count("pk", filter=priced),
        ours=Sum("cost", default=nothing),
        theirs=Sum("provider_cost", filter=priced, default=nothing),
    )
    return ProviderBill(**found) if found["rollouts"] else None
