"""`manage.py control SLUG cancel|pause|resume|priority [N]`: controls an experiment, as its page does."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rlm_runs.execution import control
from rlm_runs.models import Experiment

_ACTIONS = {"cancel": control.cancel, "pause": control.pause, "resume": control.resume}


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
