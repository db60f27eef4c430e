"""Imports files as an experiment: arms by their settings, examples by their content, rollouts through the
recorder.

Everything is written, or nothing: a file that cannot be read, or was imported before, refuses the whole call.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.models import Avg, CharField, Count, Q

from ..engine.scaffolds import registry
from ..execution.experiment_log import COMMAND_LINE, record_action
from ..execution.recorder import Recorder
from ..formats.records import ImportedArm, ImportedExample, ImportedRollout, Source, Unreadable, sha256_of
from ..formats.sources import find_sources
from ..models import Arm, Example, Experiment, Rollout, Text
from ..models.texts import digest, storable
from .identity import content_hash, example_hash, free_slug

_CHUNK = 50
"""The number of rollouts whose rows are created together, and are in memory together."""
_LIMITS = {
    column.name: column.max_length
    for column in Arm._meta.concrete_fields
    if isinstance(column, CharField) and column.max_length and column.name != "sandbox_image"
}
"""The maximum length of an arm's text columns, in characters."""
_LOCK = 0x524C4D
"""Number of the advisory lock of imports, unique in this database."""


class AlreadyImported(Exception):
    """A file with the same content is in the store already. The message says where."""


@dataclass(frozen=True)
class ArmSummary:
    """The imported part of an arm. `unknown` names the facts that its files lack for every rollout."""

    arm: Arm
    rollouts: int
    scored: int
    too_long: int
    failed: int
    reward: float | None
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Imported:
    """An experiment that was imported from a path."""

    experiment: Experiment
    files: int
    rollouts: int
    examples: int
    arms: tuple[ArmSummary, ...]


def import_paths(paths: Sequence[Path], *, name: str = "", environment: str = "") -> list[Imported]:
    """Imports each path as an experiment, named `name` or after the path.

    `environment` is used for tables that do not name theirs. Raises Unreadable or AlreadyImported, in which case
    nothing is written. Imports run one at a time.
    """
    try:
        with transaction.atomic():
            _wait_for_other_imports()
            return [_import_path(path, name=name or _name_of(path), environment=environment) for path in paths]
    except OSError as error:
        path = Path(os.fsdecode(error.filename)) if error.filename else paths[0]
        raise Unreadable(path, error.strerror or str(error)) from error


def _wait_for_other_imports() -> None:
    """Blocks other imports until the transaction ends, because two would not see each other's files and
    examples.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _name_of(path: Path) -> str:
    return path.resolve().stem if path.is_file() else path.resolve().name


def _import_path(path: Path, *, name: str, environment: str) -> Imported:
    sources = find_sources(path, environment=environment)
    hashes = [sha256_of(source.path) for source in sources]
    _refuse_known(sources, hashes)
    shown = [str(source.path.resolve().relative_to(path.resolve().parent)) for source in sources]
    abouts = [dict(source.about()) for source in sources]
    experiment = Experiment.objects.create(
        slug=free_slug(name),
        name=storable(name)[:200],
        spec=storable({"imported": [{"path": at, **about} for at, about in zip(shown, abouts, strict=True)]}),
        seed=_seed(abouts),
    )
    writer = _Writer(experiment)
    counts = [writer.write(source) for source in sources]
    writer.order_arms()
    experiment.sources = storable(
        [
            {"path": at, "format": source.format, "sha256": sha256, "rollouts": count}
            for at, source, sha256, count in zip(shown, sources, hashes, counts, strict=True)
        ]
    )
    experiment.save(update_fields=["sources"])
    details = {"files": len(sources), "rollouts": sum(counts)}
    record_action(experiment, action="imported", actor=COMMAND_LINE, details=details)
    return _summary(experiment, files=len(sources))


def _refuse_known(sources: Sequence[Source], hashes: Sequence[str]) -> None:
    """Raises AlreadyImported if a file is in the store, or is given twice."""
    seen: dict[str, Path] = {}
    for source, sha256 in zip(sources, hashes, strict=True):
        if sha256 in seen:
            raise AlreadyImported(f"{source.path} has the same content as {seen[sha256]}")
        seen[sha256] = source.path
        known = Experiment.objects.filter(sources__contains=[{"sha256": sha256}]).first()
        if known is not None:
            raise AlreadyImported(f"{source.path} was imported already: it is in the experiment {known.slug}")


def _seed(abouts: Sequence[Mapping[str, Any]]) -> int:
    """Returns the seed that all runs share; 0 without one."""
    arguments = [about.get("env_args") for about in abouts]
    seeds = {given.get("seed") for given in arguments if isinstance(given, Mapping)}
    seed = seeds.pop() if len(seeds) == 1 else 0
    return seed if isinstance(seed, int) and abs(seed) < 2**63 else 0


class _Writer:
    """A writer of the rows of one experiment."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._arms: dict[str, Arm] = {}
        self._examples: dict[str, int] = {}
        self._positions: dict[int, int] = {}
        self._in_environment: Counter[str] = Counter()
        self._repetitions: Counter[tuple[int, int]] = Counter()

    def write(self, source: Source) -> int:
        """Writes all rollouts of a source. Returns how many. Raises Unreadable."""
        occurrences = _Occurrences()
        told = source.rollouts()
        written = 0
        while chunk := list(islice(told, _CHUNK)):
            self._write_chunk(source, chunk, occurrences)
            written += len(chunk)
        if not written:
            raise Unreadable(source.path, "it holds no rollout")
        return written

    def order_arms(self) -> None:
        """Orders the arms for reading: by environment and settings, the plain model first."""

        def place(arm: Arm) -> tuple[Any, ...]:
            scaffold = registry.place(arm.scaffold)
            return (arm.environment, str(arm.environment_settings), arm.model, scaffold, arm.position)

        arms = sorted(self._arms.values(), key=place)
        for shift in (len(arms), 0):  # first beyond all of them, because positions are unique
            for position, arm in enumerate(arms):
                arm.position = position + shift
            for arm in arms:
                arm.save(update_fields=["position"])

    def _write_chunk(self, source: Source, chunk: Sequence[ImportedRollout], occurrences: _Occurrences) -> None:
        arms = [self._arm(source, imported) for imported in chunk]
        examples = self._keep_examples(chunk, occurrences)
        rollouts = Rollout.objects.bulk_create(
            self._rollout(arm, example) for arm, example in zip(arms, examples, strict=True)
        )
        for rollout, imported in zip(rollouts, chunk, strict=True):
            Recorder(rollout).record_all(imported.events)

    def _arm(self, source: Source, imported: ImportedRollout) -> Arm:
        columns = _columns(imported.arm)
        for name, most in _LIMITS.items():
            if len(columns[name]) > most:
                reason = f"its {name.replace('_', '-')} has more than {most} characters"
                raise Unreadable(source.path, reason, line=imported.line)
        settings_hash = content_hash(columns)
        if settings_hash not in self._arms:
            self._arms[settings_hash] = Arm.objects.create(
                experiment=self._experiment, position=len(self._arms), settings_hash=settings_hash, **columns
            )
        return self._arms[settings_hash]

    def _keep_examples(self, chunk: Sequence[ImportedRollout], occurrences: _Occurrences) -> list[int]:
        """Returns the ids of the examples, shared with other experiments that use them."""
        asked = [(imported.arm.environment, imported.example) for imported in chunk]
        names = [occurrences.name(imported) for imported in chunk]
        fresh = {
            name: _example(environment, example, name)
            for name, (environment, example) in zip(names, asked, strict=True)
            if name not in self._examples
        }
        if fresh:
            Text.objects.keep(text for _, example in asked for text in (example.prompt, example.answer))
            Example.objects.bulk_create(fresh.values(), ignore_conflicts=True)
            rows = Example.objects.filter(content_hash__in=list(fresh)).values_list("content_hash", "pk")
            self._examples |= dict(rows)
        return [self._examples[name] for name in names]

    def _rollout(self, arm: Arm, example: int) -> Rollout:
        if example not in self._positions:
            self._positions[example] = self._in_environment[arm.environment]
            self._in_environment[arm.environment] += 1
        repetition = self._repetitions[arm.pk, example]
        self._repetitions[arm.pk, example] += 1
        return Rollout(
            arm=arm,
            example_id=example,
            example_position=self._positions[example],
            repetition=repetition,
            status=Rollout.Status.RUNNING,
            attempt=1,
        )


class _Occurrences:
    """The occurrences of questions in one source. Their numbers distinguish repetitions from duplicate
    questions.
    """

    def __init__(self) -> None:
        self._keys: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)

    def name(self, imported: ImportedRollout) -> str:
        """Returns the content hash of a rollout's example."""
        example, environment = imported.example, storable(imported.arm.environment)
        prompt, answer = digest(example.prompt), digest(example.answer)
        keys = self._keys[environment, prompt, answer]
        if example.key not in keys:
            keys.append(example.key)
        return example_hash(environment, prompt=prompt, answer=answer, occurrence=keys.index(example.key) + 1)


def _example(environment: str, example: ImportedExample, name: str) -> Example:
    return Example(
        environment=storable(environment),
        content_hash=name,
        prompt_id=digest(example.prompt),
        answer_id=digest(example.answer),
        metadata=storable(dict(example.metadata)),
    )


def _columns(arm: ImportedArm) -> dict[str, Any]:
    """Returns an arm's settings as they are stored and hashed."""
    found: dict[str, Any] = storable(
        {
            "environment": arm.environment,
            "environment_settings": dict(arm.environment_settings),
            "scaffold": arm.scaffold,
            "scaffold_settings": dict(arm.scaffold_settings),
            "model": arm.model,
            "sub_model": arm.sub_model or arm.model,
            "judge_model": arm.judge_model,
            "endpoint": arm.endpoint,
            "sampling": dict(arm.sampling),
        }
    )
    return found


_TOLD = {
    "transcript": "cells",
    "main-model tokens": "main_prompt_tokens",
    "sub-LLM tokens": "sub_prompt_tokens",
    "cost": "cost",
    "seconds": "seconds",
}
"""Facts that a file may lack → the columns that are NULL in this case."""


def _summary(experiment: Experiment, *, files: int) -> Imported:
    rollouts = experiment.rollouts()
    failed = Q(status=Rollout.Status.FAILED)
    too_long = Q(stop_reason="prompt_too_long")
    rows = rollouts.values("arm").annotate(
        total=Count("id"),
        scored=Count("reward"),
        refused=Count("id", filter=failed & too_long),
        broken=Count("id", filter=failed & ~too_long),
        mean=Avg("reward"),
        **{f"told_{column}": Count(column) for column in _TOLD.values()},
    )
    by_arm = {row["arm"]: row for row in rows}
    return Imported(
        experiment=experiment,
        files=files,
        rollouts=sum(row["total"] for row in by_arm.values()),
        examples=rollouts.aggregate(examples=Count("example", distinct=True))["examples"],
        arms=tuple(_arm_summary(arm, by_arm[arm.pk]) for arm in experiment.arms.order_by("position")),
    )


def _arm_summary(arm: Arm, row: Mapping[str, Any]) -> ArmSummary:
    return ArmSummary(
        arm=arm,
        rollouts=row["total"],
        scored=row["scored"],
        too_long=row["refused"],
        failed=row["broken"],
        reward=row["mean"],
        unknown=tuple(title for title, column in _TOLD.items() if not row[f"told_{column}"]),
    )
