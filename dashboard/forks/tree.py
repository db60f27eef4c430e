"""The tree of forks around a rollout: the first origin, its forks, and theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rlm_runs.models import Fork, Rollout


@dataclass(frozen=True)
class Branch:
    """A rollout of the tree. `fork` is None at the root; `depth` counts from there."""

    rollout: Rollout
    fork: Fork | None
    depth: int


def tree_of(rollout: Rollout) -> tuple[Branch, ...]:
    """Returns the tree of a rollout, parents before their forks; empty without forks.

    One query, three for a fork.
    """
    forks = list(
        Fork.objects.filter(
            rollout__experiment__forks_of=rollout.arm.experiment.shown, rollout__example=rollout.example_id
        )
        .select_related("rollout__arm")
        .defer("rollout__metrics")
        .order_by("pk")
    )
    by_rollout = {fork.rollout_id: fork for fork in forks}
    first = rollout.pk
    while first in by_rollout:
        first = by_rollout[first].origin_id
    root = rollout if first == rollout.pk else Rollout.objects.select_related("arm").get(pk=first)
    branches = (Branch(root, None, 0), *_below(first, forks, depth=1))
    return branches if len(branches) > 1 else ()


def _below(origin: int, forks: list[Fork], *, depth: int) -> Iterator[Branch]:
    for fork in forks:
        if fork.origin_id == origin:
            yield Branch(fork.rollout, fork, depth)
            yield from _below(fork.rollout_id, forks, depth=depth + 1)
