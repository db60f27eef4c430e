"""`manage.py reprice` applies today's prices to stored calls, and keeps their former costs.

manage.py reprice --dry-run
manage.py reprice oolong-subsets
manage.py reprice --filter "model:gpt-5-mini finished:>2026-11-01" --yes
"""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rlm_runs.analysis import filters
from rlm_runs.execution.repricing import Group, Outcome, Sums, reprice
from rlm_runs.models import Experiment, Rollout
from rlm_runs.models.experiments import RolloutQuerySet


class Command(BaseCommand):
    help = "Computes the costs of ended rollouts again by today's prices. Keeps the former costs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("experiment", nargs="?", help="its slug; without one, all experiments")
        parser.add_argument("--filter", dest="query", default="", help="rollouts, in the language of their list")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and write nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *, experiment: str | None, query: str, dry_run: bool, yes: bool, **_: Any) -> None:
        rollouts = _chosen(experiment, query)
        if dry_run or not yes:
            found = reprice(rollouts, write=False)
            self._tell(found, "would change")
            if dry_run or not found.changed or not self._agreed(found):
                return
        scope = " ".join(filter(None, [experiment or "all experiments", query]))[:400]
        actor = f"command line ({getpass.getuser()})"
        self._tell(reprice(rollouts, write=True, actor=actor, scope=scope), "changed")

    def _agreed(self, found: Outcome) -> bool:
        answer = input(f"Change {found.changed:,} calls? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            self.stdout.write("nothing was changed")
            return False
        return True

    def _tell(self, found: Outcome, verb: str) -> None:
        for group, sums in sorted(found.groups.items()):
            self.stdout.write(_line(group, sums))
        same = found.calls - found.changed - found.unknown - found.elsewhere
        self.stdout.write(
            f"{found.changed:,} calls of {found.rollouts:,} rollouts {verb}; {same:,} cost the same by today's "
            f"prices, {found.unknown:,} have no known price or usage, {found.elsewhere:,} are of models that "
            f"another endpoint serves today; {found.skipped:,} rollouts are imported or have not ended"
        )


def _chosen(experiment: str | None, query: str) -> RolloutQuerySet:
    rollouts = Rollout.objects.all()
    if experiment is not None:
        found = Experiment.objects.filter(slug=experiment).first()
        if found is None:
            raise CommandError(f"there is no experiment {experiment!r}")
        rollouts = found.rollouts()
    if query:
        try:
            rollouts = rollouts.filter(filters.condition(filters.parse(query)))
        except filters.FilterError as error:
            raise CommandError(f"the filter cannot be read: {error}") from error
    return rollouts


def _line(group: Group, sums: Sums) -> str:
    before = f"${sums.before:.4f} by {group.before}" if group.before else "unpriced"
    return f"  {group.model}: {sums.calls:,} calls, {before} → ${sums.after:.4f} by {group.after}"
