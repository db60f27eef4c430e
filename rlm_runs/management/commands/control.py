"""`manage.py control SLUG ACTION …` controls an experiment, like its page and the API.

    manage.py control oolong pause
    manage.py control oolong priority 10
    manage.py control oolong retry --outcomes failed,too_long --arm 12 --yes
    manage.py control oolong rescore --judge-model gpt-5 --yes
    manage.py control oolong add --examples 100 --repetitions 2 --yes
    manage.py control oolong delete --yes

An action that costs money or removes data states its effect and asks for confirmation; `--yes` confirms.
"""

from __future__ import annotations

import sys
import tomllib
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rlm_runs.execution import deletion
from rlm_runs.execution.experiment_log import COMMAND_LINE
from rlm_runs.experiments.actions import ACTIONS, NeedsConfirmation, Preview, Refused, parse, take
from rlm_runs.models import Experiment

_ENTRIES = ("models", "scaffolds", "environments")


class Command(BaseCommand):
    help = "Controls an experiment: " + ", ".join(ACTIONS) + "."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the experiment, as its address names it")
        parser.add_argument("action", choices=list(ACTIONS))
        parser.add_argument("value", nargs="?", help="of priority: from -100 to 100")
        parser.add_argument("--yes", action="store_true", help="do it without asking")
        parser.add_argument("--now", action="store_true", help="of delete: remove the rows in this process, too")
        known: dict[str, str] = {}
        for action in ACTIONS.values():
            for name, option in action.options.model_fields.items():
                if name != "value":
                    known.setdefault(name, f"of {action.name}: {option.description}")
        for name, told in known.items():
            more: dict[str, Any] = {"nargs": "+"} if name in _ENTRIES else {}
            parser.add_argument(f"--{name.replace('_', '-')}", help=told, **more)

    def handle(self, *args: Any, **options: Any) -> None:
        experiment = Experiment.objects.filter(slug=options["slug"]).first()
        if experiment is None:
            raise CommandError(f"there is no experiment {options['slug']!r}")
        action = ACTIONS[options["action"]]
        if "value" in action.options.model_fields and options["value"] is None:
            raise CommandError(f"{action.name} needs a number, from -100 to 100")
        names = [
            name
            for other in ACTIONS.values()
            for name in other.options.model_fields
            if options.get(name) is not None
        ]
        given = {name: _entries(options[name]) if name in _ENTRIES else options[name] for name in names}
        try:
            chosen = parse(action, given)
            try:
                told = take(action, experiment, chosen, actor=COMMAND_LINE, confirmed=options["yes"])
            except NeedsConfirmation as asked:
                self._ask(asked.preview)
                told = take(action, experiment, chosen, actor=COMMAND_LINE, confirmed=True)
        except Refused as error:
            raise CommandError(str(error)) from error
        if action.name == "delete" and options["now"]:
            deletion.remove_all()
            told = "deleted"
        self.stdout.write(f"{experiment.slug}: {told}")

    def _ask(self, preview: Preview) -> None:
        """Asks for confirmation. Raises CommandError if the answer is no, or if there is no terminal."""
        self.stdout.write(preview.sentence)
        for name, value in preview.numbers.items():
            self.stdout.write(f"  {name}: {_said(value)}")
        if not sys.stdin.isatty():
            raise CommandError("nothing was done: confirm it with --yes")
        if input("Type yes to continue: ").strip().lower() != "yes":
            raise CommandError("nothing was done")


def _said(value: int | Decimal | None) -> str:
    if value is None:
        return "unknown"
    return f"${value:.2f}" if isinstance(value, Decimal) else f"{value:,}"


def _entries(given: list[str]) -> list[Any]:
    """Returns names as they are, and tables from TOML: `NAME` or `{name = "NAME", max_turns = 10}`."""
    return [tomllib.loads(f"entry = {one}")["entry"] if one.lstrip().startswith("{") else one for one in given]
