"""`manage.py control SLUG cancel|pause|resume|run-decided|priority [N]`: what the page of an experiment does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rlm_runs.execution import control
from rlm_runs.execution.early_stopping import run_decided
from rlm_runs.models import Experiment

_ACTIONS: dict[str, Callable[[Experiment], object]] = {
    "cancel": control.cancel,
    "pause": control.pause,
    "resume": control.resume,
    "run-decided": run_decided,
}


class Command(BaseCommand):
    help = "Cancels, pauses, resumes or ranks an experiment."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the experiment, as its address names it")
        parser.add_argument("action", choices=[*_ACTIONS, "priority"])
        parser.add_argument("value", nargs="?", type=int, help="the priority, from -100 to 100")

    def handle(self, *args: Any, **options: Any) -> None:
        experiment = Experiment.objects.filter(slug=options["slug"]).first()
        if experiment is None:
            raise CommandError(f"there is no experiment {options['slug']!r}")
        if options["action"] == "priority":
            if options["value"] is None:
                raise CommandError("priority needs a number, from -100 to 100")
            try:
                control.set_priority(experiment, options["value"])
            except ValueError as error:
                raise CommandError(str(error)) from error
        else:
            _ACTIONS[options["action"]](experiment)
        experiment.refresh_from_db()
        state = "cancelled" if experiment.cancelled_at else "paused" if experiment.paused_at else "active"
        self.stdout.write(f"{experiment.slug}: {state}, priority {experiment.priority}")
