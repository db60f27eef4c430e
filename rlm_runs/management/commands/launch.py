"""`manage.py launch spec.toml`: launches an experiment from a file, as the launch form does."""

from __future__ import annotations

import tomllib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rlm_runs.launch import SpecError, launch


class Command(BaseCommand):
    help = "Launches an experiment from a TOML spec."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("spec", type=Path, help="path of the TOML file")
        parser.add_argument("--model", help="run with this model instead of the spec's")
        parser.add_argument("--examples", type=int, help="so many examples per environment")

    def handle(self, *, spec: Path, model: str | None, examples: int | None, **_: Any) -> None:
        try:
            raw = tomllib.loads(spec.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{spec} cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise CommandError(f"{spec} is not valid TOML: {error}") from error
        if model is not None:
            raw["models"] = [model]
        if examples is not None:
            raw["examples"] = examples
        try:
            experiment = launch(raw)
        except SpecError as error:
            problems = "\n".join(f"  {problem}" for problem in error.problems)
            raise CommandError(f"{spec} was not launched, and nothing was written:\n{problems}") from error
        arms, rollouts = experiment.arms.count(), experiment.rollouts().count()
        self.stdout.write(f"launched {experiment.slug}: {arms} arms, {rollouts} rollouts")
