"""`manage.py circuits [list]` lists the models that fail all calls; `circuits close MODEL` lets calls through."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rlm_runs.execution.circuits import store
from rlm_runs.execution.experiment_log import COMMAND_LINE
from rlm_runs.models.texts import unescape


class Command(BaseCommand):
    help = "Lists open circuits, or closes one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["list", "close"], nargs="?", default="list")
        parser.add_argument("model", nargs="?", help="of close: the model")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "close":
            if not options["model"]:
                raise CommandError("close needs a model")
            if not store.close(options["model"], actor=COMMAND_LINE):
                raise CommandError(f"the circuit of {options['model']!r} is not open")
            self.stdout.write(f"{options['model']}: closed")
            return
        for circuit in store.open_circuits():
            since = circuit.opened_at.isoformat(timespec="seconds") if circuit.opened_at else ""
            self.stdout.write(f"{circuit.model}: open since {since}, {circuit.probes} tries")
            self.stdout.write(f"  {unescape(circuit.error)}")
