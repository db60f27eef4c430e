"""`manage.py reproduce ROLLOUT` runs the cells of a recorded rollout again and reports where outputs differ.

No model is asked and no tool is called. The exit code is 0 if nothing differs, else 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rlm_runs.engine.replay import Difference, comparable
from rlm_runs.engine.reproduction import Reproduction
from rlm_runs.execution.reproduction import CannotReproduce, reproduce_rollout
from rlm_runs.models import Rollout
from sandbox.contract import SandboxError

_CHARS = 60
"""The maximum length of an output in the table, in characters."""


class Command(BaseCommand):
    """A command that runs the recorded cells of a rollout again."""

    help = "Executes a recorded rollout again in a fresh sandbox and reports where outputs differ."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("rollout", type=int, help="id of the rollout")
        parser.add_argument("--attempt", type=int, help="its attempt; by default the last one")
        parser.add_argument("--json", action="store_true", help="print the whole texts as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        rollout = (
            Rollout.objects.select_related("arm__experiment", "example").filter(pk=options["rollout"]).first()
        )
        if rollout is None:
            raise CommandError(f"there is no rollout {options['rollout']}", returncode=2)
        try:
            found = reproduce_rollout(rollout, attempt=options["attempt"])
        except (CannotReproduce, SandboxError, LookupError, PermissionError, ValueError) as error:
            raise CommandError(f"rollout {rollout.pk} cannot be reproduced: {error}", returncode=2) from error
        self.stdout.write(_as_json(rollout, found) if options["json"] else "\n".join(_lines(rollout, found)))
        if found.differences:
            sys.exit(1)


def _as_json(rollout: Rollout, found: Reproduction) -> str:
    told = {"rollout": rollout.pk, "cells": found.cells, "differences": [asdict(one) for one in found.differences]}
    return json.dumps(told, indent=2)


def _lines(rollout: Rollout, found: Reproduction) -> Iterator[str]:
    count = len(found.differences)
    cells = f"{found.cells} cell{'' if found.cells == 1 else 's'}"
    if not count:
        yield f"Rollout {rollout.pk}: {cells} executed again, and nothing differs."
        return
    yield f"Rollout {rollout.pk}: {cells} executed again, {count} difference{'' if count == 1 else 's'}."
    rows = [("turn", "cell", "depth", "what", "recorded", "now"), *map(_row, found.differences)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(difference: Difference) -> Sequence[str]:
    then, now = _first_difference(difference.recorded, difference.now)
    places = (difference.turn, difference.cell, difference.depth)
    return *("–" if place is None else str(place) for place in places), difference.what, _cut(then), _cut(now)


def _first_difference(recorded: str, now: str) -> tuple[str, str]:
    """Returns the first lines that differ."""
    for then, other in zip_longest(recorded.splitlines(), now.splitlines(), fillvalue=""):
        if comparable(then) != comparable(other):
            return then, other
    return recorded, now


def _cut(text: str) -> str:
    """Returns the text as one printable line."""
    line = "".join(character if character.isprintable() else "·" for character in text)
    return line if len(line) <= _CHARS else line[: _CHARS - 1] + "…"
