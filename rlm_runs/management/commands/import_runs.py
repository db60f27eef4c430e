"""`manage.py import_runs PATH…` imports runs of other tools, each path as an experiment.

manage.py import_runs outputs/evals/math-python--gpt-5-mini
manage.py import_runs raw_results.csv --environment oolong --name "oolong, published"
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rlm_runs.experiments.importer import AlreadyImported, ArmSummary, Imported, import_paths
from rlm_runs.formats.records import Unreadable


class Command(BaseCommand):
    help = "Imports verifiers v0 run folders and tables of metrics (CSV); folders are searched through."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, nargs="+", help="a file or folder; each becomes one experiment")
        parser.add_argument("--name", default="", help="of the experiment, instead of the path's")
        parser.add_argument(
            "--environment", default="", help="of tables that do not name theirs, instead of the file's name"
        )

    def handle(self, *, path: list[Path], name: str, environment: str, **_: Any) -> None:
        try:
            found = import_paths(path, name=name, environment=environment)
        except (Unreadable, AlreadyImported) as error:
            raise CommandError(f"nothing was imported: {error}") from error
        for imported in found:
            for line in _lines(imported):
                self.stdout.write(line)


def _lines(imported: Imported) -> Iterator[str]:
    yield (
        f"imported {imported.experiment.slug}: {imported.files} files, {len(imported.arms)} arms, "
        f"{imported.examples:,} examples, {imported.rollouts:,} rollouts"
    )
    for summary in imported.arms:
        yield f"  {_arm_line(summary)}"


def _arm_line(summary: ArmSummary) -> str:
    reward = "no reward" if summary.reward is None else f"mean reward {summary.reward:.4g}"
    without = [(summary.too_long, "too long"), (summary.failed, "failed")]
    parts = [
        f"{summary.arm}: {summary.rollouts:,} rollouts, {reward} of {summary.scored:,} scored",
        *(f"{count:,} {what}" for count, what in without if count),
    ]
    if summary.unknown:
        parts.append(f"not known: {', '.join(summary.unknown)}")
    return "; ".join(parts)
