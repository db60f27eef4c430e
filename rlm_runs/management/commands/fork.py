"""`manage.py fork ROLLOUT --turn N` continues a rollout from a turn, with an edit.

A worker rebuilds the REPL from the recorded cells and the recorded answers of sub-LLMs, which costs nothing, and
calls the model from there. `manage.py fork FORK --continue` lets a fork continue that waits because something
differed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rlm_runs.execution import forks
from rlm_runs.experiments.forking import ForkRequest, Place, Refused, SpecError, create_fork
from rlm_runs.models import Fork, Rollout
from rlm_runs.models.texts import unescape


class Command(BaseCommand):
    """A command that forks a rollout."""

    help = "Continues a rollout from a turn, with an edited message, cell, sub-call answer, setting or model."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("rollout", type=int, help="id of the rollout; of the fork with --continue")
        parser.add_argument("--turn", type=int, help="the last recorded turn, from 1")
        parser.add_argument("--attempt", type=int, help="attempt of the rollout; by default the last one")
        parser.add_argument("--message", help="another message of the model, as text or @file")
        parser.add_argument("--code", help="another source of the turn's first cell, as text or @file")
        parser.add_argument(
            "--answer",
            action="append",
            default=[],
            metavar="EXECUTION.BATCH.POSITION=TEXT",
            help="another answer of a sub-call of the turn, all numbers from 0; TEXT may be @file",
        )
        parser.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="another setting of the scaffold"
        )
        parser.add_argument(
            "--sampling", action="append", default=[], metavar="NAME=VALUE", help="another sampling parameter"
        )
        parser.add_argument("--model", default="", help="another model for the root")
        parser.add_argument("--sub-model", default="", help="another model for sub-LLMs")
        parser.add_argument(
            "--hold",
            choices=Fork.Hold.values,
            default=Fork.Hold.DIFFERENT.value,
            help="when it waits before the first live call (default: if something differs)",
        )
        parser.add_argument("--continue", action="store_true", dest="go_on", help="let a waiting fork go on")
        parser.add_argument("--wait", action="store_true", help="wait for workers, and print the differences")

    def handle(self, *args: Any, **options: Any) -> None:
        shown = Rollout.objects.select_related("arm__experiment__forks_of")
        found = shown.filter(pk=options["rollout"], experiment__deleted_at=None).first()
        if found is None:
            raise CommandError(f"there is no rollout {options['rollout']}")
        try:
            rollout = self._continued(found) if options["go_on"] else self._created(found, options)
        except Refused as error:
            raise CommandError(f"rollout {found.pk}: {error}") from error
        except SpecError as error:
            raise CommandError("\n".join(map(str, error.problems))) from error
        if options["wait"]:
            self._wait(rollout)

    def _created(self, origin: Rollout, options: Any) -> Rollout:
        if options["turn"] is None:
            raise CommandError("name the turn with --turn")
        asked = ForkRequest(
            turn=options["turn"],
            attempt=options["attempt"],
            message=_text(options["message"]),
            code=_text(options["code"]),
            answers=dict(map(_answer, options["answer"])),
            settings=dict(map(_setting, options["set"])),
            sampling=dict(map(_setting, options["sampling"])),
            model=options["model"],
            sub_model=options["sub_model"],
            hold=options["hold"],
        )
        rollout = create_fork(origin, asked)
        self.stdout.write(f"Rollout {rollout.pk} forks rollout {origin.pk} after turn {asked.turn}.")
        return rollout

    def _continued(self, rollout: Rollout) -> Rollout:
        fork = Fork.objects.filter(rollout=rollout).first()
        if fork is None:
            raise Refused("it is no fork")
        forks.go_on(fork)
        self.stdout.write(f"Rollout {rollout.pk} goes on.")
        return rollout

    def _wait(self, rollout: Rollout) -> None:
        while Rollout.objects.unfinished().filter(pk=rollout.pk).exists():
            time.sleep(0.5)
        rollout.refresh_from_db()
        fork = Fork.objects.get(rollout=rollout)
        for one in fork.differences or ():
            place = f"turn {one['turn']}: " if one["turn"] else ""
            self.stdout.write(f"{place}{one['what']}")
            self.stdout.write(f"  recorded {_line(one['recorded'])}\n  now      {_line(one['now'])}")
        if rollout.stop_reason == Fork.HELD:
            self.stdout.write(f"It waits. Let it go on: manage.py fork {rollout.pk} --continue")
            sys.exit(1)
        self.stdout.write(
            f"Rollout {rollout.pk} is {rollout.status}: {rollout.stop_reason}, reward {rollout.reward}"
        )


def _text(given: str | None) -> str | None:
    if given is None or not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{given[1:]} cannot be read: {error}") from error


def _answer(given: str) -> tuple[Place, str]:
    place, is_there, text = given.partition("=")
    numbers: Sequence[str] = place.split(".")
    if not is_there or len(numbers) != 3 or not all(map(str.isdecimal, numbers)):
        raise CommandError(f"--answer must be EXECUTION.BATCH.POSITION=TEXT, not {given!r}")
    return Place(*map(int, numbers)), _text(text) or ""


def _setting(given: str) -> tuple[str, Any]:
    name, is_there, value = given.partition("=")
    if not is_there:
        raise CommandError(f"a setting must be NAME=VALUE, not {given!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _line(text: str) -> str:
    """Returns the text on one printable line."""
    return repr(unescape(text))
