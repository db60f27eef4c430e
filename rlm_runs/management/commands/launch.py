"""`manage.py launch spec.toml` launches an experiment from a file, like the launch form.

manage.py launch spec.toml
manage.py launch --preset oolong --model gpt-5-mini --dry-run
"""

from __future__ import annotations

import tomllib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rlm_runs.execution.endpoints import ModelChoice
from rlm_runs.experiments.estimate import ArmEstimate, Estimate, estimate
from rlm_runs.experiments.launch import launch
from rlm_runs.experiments.launch_check import check_models
from rlm_runs.experiments.plan import Plan, PlannedArm, offline, resolve
from rlm_runs.experiments.presets import PRESETS, preset_names
from rlm_runs.experiments.problems import Problem, SpecError


class Command(BaseCommand):
    help = "Launches an experiment from a TOML spec or a preset."

    def add_arguments(self, parser: ArgumentParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("spec", type=Path, nargs="?", help="path of a TOML file")
        source.add_argument(
            "--preset",
            help="one of the article's experiments, by its name or a beginning of it: "
            + ", ".join(preset_names()),
        )
        parser.add_argument("--model", action="append", help="instead of the spec's models; may be given again")
        parser.add_argument("--sub-model", help="answers the calls of llm_batch, instead of the model itself")
        parser.add_argument("--judge-model", help="judges answers, instead of the model itself")
        parser.add_argument("--examples", type=int, help="so many examples per environment")
        parser.add_argument("--offline", action="store_true", help="on generated data, which need no network")
        parser.add_argument("--no-probe", action="store_true", help="do not ask the models before launching")
        parser.add_argument("--dry-run", action="store_true", help="say what would run, and write nothing")

    def handle(self, *, spec: Path | None, preset: str | None, dry_run: bool, **options: Any) -> None:
        path = spec or _preset_path(preset or "")
        raw = _read(path)
        if options["model"]:
            raw["models"] = options["model"]
        for name in ("examples", "sub_model", "judge_model"):
            if options.get(name) is not None:
                raw[name] = options[name]
        try:
            if options["offline"]:
                raw = offline(raw)
            if dry_run:
                plan = resolve(raw)
                self._tell(plan, estimate(plan))
                return
            if not options["no_probe"]:
                self._probe(raw)
            experiment = launch(raw)
        except SpecError as error:
            lines = [
                f"{path.name} was not launched, and nothing was written:",
                *map("  {}".format, error.problems),
            ]
            if not options["offline"] and any(one.field.startswith("environments[") for one in error.problems):
                lines.append("With --offline it runs on generated data, which need no network and no key.")
            raise CommandError("\n".join(lines)) from error
        arms, rollouts = experiment.arms.count(), experiment.rollouts().count()
        self.stdout.write(f"launched {experiment.slug}: {arms} arms, {rollouts} rollouts")

    def _probe(self, raw: dict[str, Any]) -> None:
        """Raises SpecError if a model cannot do what the rollouts need. Warns if one does not answer in time."""
        checked = check_models(resolve(raw))
        for warning in checked.warnings:
            self.stderr.write(f"warning: {warning}")
        if checked.problems:
            raise SpecError([*checked.problems, Problem("", "--no-probe launches it anyway")])

    def _tell(self, plan: Plan, found: Estimate) -> None:
        for arm in found.arms:
            self.stdout.write(_line(arm))
        dollars = "of unknown cost" if found.dollars is None else f"about ${found.dollars:.2f}"
        judges = f" and {found.judge_calls:,} calls of judges" if found.judge_calls else ""
        self.stdout.write(
            f"{plan.spec.name}: {len(found.arms)} arms, {found.rollouts:,} rollouts, about {found.calls:,} model "
            f"calls{judges}, {dollars}; nothing was launched"
        )


def _preset_path(name: str) -> Path:
    """Returns the preset with this name, or the only one whose name starts with it. Raises CommandError."""
    names = preset_names()
    found = [name] if name in names else [one for one in names if name and one.startswith(name)]
    if len(found) != 1:
        what = f"{name!r} may be {' or '.join(found)}" if found else f"there is no preset {name!r}"
        raise CommandError(f"{what}; there are: {', '.join(names)}")
    return PRESETS / f"{found[0]}.toml"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{path} is not valid TOML: {error}") from error


def _line(estimated: ArmEstimate) -> str:
    arm = estimated.arm
    cost = "unpriced" if estimated.dollars is None else f"${estimated.dollars:.2f}"
    settings = [
        *_changed(arm.environment.settings).items(),
        *_changed(arm.scaffold_settings).items(),
        *((f"sampling.{name}", value) for name, value in arm.sampling.given.items()),
        *((role, one.name) for role, one in _other_models(arm).items() if one != arm.model),
    ]
    judge = f" and {estimated.judge_calls:,} of the judge" if estimated.judge_calls else ""
    shown = "".join(f" {name}={value}" for name, value in settings)
    return (
        f"  {arm.environment.name} × {arm.scaffold} × {arm.model.name}{shown}: {estimated.rollouts:,} rollouts, "
        f"{estimated.calls:,} calls{judge}, {cost} ({estimated.basis})"
    )


def _other_models(arm: PlannedArm) -> dict[str, ModelChoice]:
    return {"sub_model": arm.sub_model, "judge_model": arm.judge_model}


def _changed(settings: Any) -> dict[str, Any]:
    """Returns the settings that differ from their defaults."""
    fields = type(settings).model_fields
    return {name: value for name, value in settings if value != fields[name].default}
