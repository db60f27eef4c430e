"""`manage.py export_replay ROLLOUT` writes a rollout as one HTML file that replays without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dashboard.replay.standalone import document, file_name
from rlm_runs.analysis.transcripts import Bounds
from rlm_runs.models import Rollout


class Command(BaseCommand):
    """A command that writes one attempt as an HTML file."""

    help = "Writes a rollout as one HTML file that replays without a network."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("rollout", type=int, help="id of the rollout")
        parser.add_argument("--attempt", type=int, help="its attempt; by default the last one")
        parser.add_argument("--output", type=Path, help="the file; by default rollout-<id>.html")
        parser.add_argument("--longest", type=int, default=Bounds.longest, help="characters of one text")
        parser.add_argument("--total", type=int, default=Bounds.total, help="characters of all texts")

    def handle(self, *args: Any, **options: Any) -> None:
        shown = Rollout.objects.filter(experiment__deleted_at=None).select_related("arm__experiment", "example")
        rollout = shown.filter(pk=options["rollout"]).first()
        if rollout is None:
            raise CommandError(f"there is no rollout {options['rollout']}", returncode=2)
        attempt = options["attempt"] or max(rollout.attempt, 1)
        if not 1 <= attempt <= max(rollout.attempt, 1):
            raise CommandError(f"rollout {rollout.pk} has no attempt {attempt}", returncode=2)
        if options["longest"] < 1 or options["total"] < 1:
            raise CommandError("--longest and --total are at least 1", returncode=2)
        path = options["output"] or Path(file_name(rollout, attempt=attempt))
        bounds = Bounds(longest=options["longest"], total=options["total"])
        try:
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(document(rollout, attempt=attempt, bounds=bounds))
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}", returncode=2) from error
        self.stdout.write(f"{path}: {path.stat().st_size:,} bytes")
