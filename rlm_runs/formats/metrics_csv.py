"""Tables of metrics, one row per rollout: no prompt, no answer, no transcript.

    model,mode,subset,judge_reward,…,context_length,generation_ms,…,sub_llm_call_count,…,turns,prompt_tokens,…

The columns for the mode and the reward are required, in any order. Numbers in other unknown columns are metrics.
The k-th row of each arm is the same example; the context length confirms it where the table has one.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from ..engine.environments.registry import REGISTRY
from ..engine.events import Event, ReportedSums, RolloutEnded, RolloutStarted
from ..engine.scaffolds import registry
from .numbers import count, number, seconds_of_ms
from .outcomes import Outcome, failure, refused_prompt
from .records import ImportedArm, ImportedExample, ImportedRollout, Malformed, Unreadable, sha256_of
from .reported import SUB_TOOL_CALLS, SUMS, TOOL_CALLS, reported_sums

_MODES = ("mode", "scaffold")
_REWARDS = ("reward", "judge_reward")
_MODELS = ("model",)
_ENVIRONMENTS = ("environment", "env_id", "env")
_KEYS = ("example_id", "id")
_SETTINGS = ("subset",)
"""Columns that are settings of the environment, and therefore distinguish arms."""
_OF_EXAMPLE = ("context_length", "subset", "content_type", "target_length", "mean_fragment_length")
"""Columns that belong to the example."""
_OF_FORMAT = frozenset(
    {
        *(*_MODES, *_MODELS, *_ENVIRONMENTS, *_KEYS, *_OF_EXAMPLE),
        *("reward", "generation_ms", "scoring_ms", "total_ms", "error", "sub_model"),
    }
)
_NO_MODEL = "not recorded"


@dataclass(frozen=True)
class MetricsCsv:
    """A table of metrics. Implements `Source`. `environment` is used if the file does not name one."""

    path: Path
    environment: str = ""
    format: str = "metrics_csv"

    def about(self) -> Mapping[str, Any]:
        """Returns {}, because the table has only rows. See `Source`."""
        return {}

    def rollouts(self) -> Iterator[ImportedRollout]:
        """See `Source`."""
        table = _Table(self.path, self.environment or _environment_of(self.path))
        for line, row in _rows(self.path):
            try:
                yield table.rollout(row, line=line)
            except Malformed as error:
                raise Unreadable(self.path, str(error), line=line) from error


def is_metrics_csv(path: Path) -> bool:
    """Returns whether a file starts like a table of metrics."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            names = [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, csv.Error):
        return False
    return bool(_named(names, _MODES) and _reward_column(names))


class _Table:
    """The rows of a file in their order, which identifies their examples."""

    def __init__(self, path: Path, environment: str) -> None:
        self._path = path
        self._environment = environment
        self._began = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
        self._places: Counter[tuple[Any, ...]] = Counter()

    @cached_property
    def _sha256(self) -> str:
        return sha256_of(self._path)

    def rollout(self, row: Mapping[str, str], *, line: int) -> ImportedRollout:
        """Returns a row as a rollout. Raises Malformed."""
        arm = self._arm(row)
        place = (arm.scaffold, arm.model, arm.environment, *arm.environment_settings.items())
        self._places[place] += 1
        example = self._example(row, arm, place=self._places[place])
        return ImportedRollout(line, arm, example, list(self._events(row, arm)))

    def _arm(self, row: Mapping[str, str]) -> ImportedArm:
        mode = _value(row, _MODES)
        if not mode:
            raise Malformed("it has no mode")
        return ImportedArm(
            environment=(_value(row, _ENVIRONMENTS) or self._environment).replace("_", "-"),
            environment_settings={name: row[name] for name in _SETTINGS if row.get(name)},
            scaffold=registry.named_in_files(mode),
            scaffold_settings={},
            model=_value(row, _MODELS) or _NO_MODEL,
            sub_model=row.get("sub_model", ""),
        )

    def _example(self, row: Mapping[str, str], arm: ImportedArm, *, place: int) -> ImportedExample:
        """Returns a prompt made of the known facts, the same for the same example in all arms."""
        metadata = {name: _loose_number(row[name]) for name in _OF_EXAMPLE if row.get(name)}
        key = _value(row, _KEYS) or str(place)
        facts = [f"{name.replace('_', ' ')} {value}" for name, value in metadata.items()]
        if "context_length" not in metadata:  # a number alone is not an identity beyond the file
            facts.append(f"file {self._sha256}")
        prompt = (
            f"The prompt is not in the file, which has metrics only: example {key} of {arm.environment}"
            f"{' (' + ', '.join(facts) + ')' if facts else ''}."
        )
        return ImportedExample(key=key, prompt=prompt, answer="", metadata=metadata)

    def _events(self, row: Mapping[str, str], arm: ImportedArm) -> Iterator[Event]:
        sums = replace(
            reported_sums(row),
            seconds=seconds_of_ms(row.get("generation_ms"), name="generation_ms"),
            tool_calls=_tool_calls(row, arm),
        )
        outcome = _outcome(row, arm, sums)
        scoring = seconds_of_ms(row.get("scoring_ms"), name="scoring_ms")
        took = timedelta(seconds=(sums.seconds or 0) + (scoring or 0))
        yield RolloutStarted(at=self._began - took, sandbox_backend="")
        yield RolloutEnded(
            at=self._began,
            stop_reason=outcome.stop_reason,
            answer=None,
            reward=outcome.reward,
            metrics={} if outcome.reward is None else _metrics(row),
            boundary=outcome.boundary,
            error=outcome.error,
            reported=sums,
        )


def _outcome(row: Mapping[str, str], arm: ImportedArm, sums: ReportedSums) -> Outcome:
    if row.get("error"):
        return failure(row["error"])
    if sums.turns == 0 and not sums.main_prompt_tokens:
        why = "the file counts no turn and no token of this rollout"
        return (
            refused_prompt(f"{why}: the API did not accept its prompt")
            if registry.is_plain_model(arm.scaffold)
            else failure(why)
        )
    column = _reward_column(list(row))
    reward = number(row.get(column), name=column)
    if reward is None:
        return Outcome(None, "unscored", "scoring", "the file gives it no reward")
    return Outcome(reward, "not_recorded")


def _tool_calls(row: Mapping[str, str], arm: ImportedArm) -> int | None:
    """Returns the number of tool calls, None if the file does not count them.

    An RLM's root has no tools but its REPL, so the calls are those of its sub-LLMs.
    """
    if registry.is_plain_model(arm.scaffold):
        return count(row.get(TOOL_CALLS), name=TOOL_CALLS)
    return count(row.get(SUB_TOOL_CALLS), name=SUB_TOOL_CALLS)


def _metrics(row: Mapping[str, str]) -> dict[str, float]:
    """Returns the numbers in columns without a meaning of their own."""
    found = {name: _loose_number(value) for name, value in row.items() if name not in _OF_FORMAT | SUMS}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _loose_number(text: str) -> float | int | str:
    """Returns a number, as an int if it is whole; else the text."""
    try:
        found = float(text)
    except ValueError:
        return text
    return int(found) if found.is_integer() and abs(found) < 2**53 else found


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the rows after the header, each with the line on which it ends. Raises Unreadable.

    Bytes that are not UTF-8 are read as lone surrogates, which each row is checked for. A file is decoded in
    blocks, so a decoding error would not know its line.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        try:
            names = [name.strip() for name in next(reader, [])]
            _check_text(path, names, line=1)
            _check_head(path, names)
            for values in reader:
                if not values:
                    continue
                _check_text(path, values, line=reader.line_num)
                if len(values) != len(names):
                    reason = f"it has {len(values)} fields, and the head {len(names)}"
                    raise Unreadable(path, reason, line=reader.line_num)
                yield reader.line_num, {n: v.strip() for n, v in zip(names, values, strict=True)}
        except csv.Error as error:
            raise Unreadable(path, f"not valid CSV: {error}", line=reader.line_num + 1) from error


def _check_text(path: Path, values: Sequence[str], *, line: int) -> None:
    try:
        "".join(values).encode()
    except UnicodeEncodeError as error:
        raise Unreadable(path, "not UTF-8 text", line=line) from error


def _check_head(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise Unreadable(path, f"the head has {twice[0]!r} twice", line=1)
    if not _named(names, _MODES):
        raise Unreadable(path, "no column tells the mode of a rollout", line=1)
    if not _reward_column(names):
        raise Unreadable(path, "no column tells the reward of a rollout", line=1)


def _reward_column(names: Sequence[str]) -> str:
    """Returns `reward`, `judge_reward`, or the only column whose name ends like a reward's; "" without one."""
    others = [name for name in names if re.search(r"reward(_func)?$", name)]
    return _named(names, _REWARDS) or (others[0] if len(others) == 1 else "")


def _named(names: Sequence[str], wanted: Sequence[str]) -> str:
    return next((name for name in wanted if name in names), "")


def _value(row: Mapping[str, str], names: Sequence[str]) -> str:
    return next((row[name] for name in names if row.get(name)), "")


def _environment_of(path: Path) -> str:
    """Returns the environment that starts the file's name; the whole name if it is not a known one."""
    stem = path.stem.replace("_", "-").lower()
    known = [name for name in REGISTRY if stem == name or stem.startswith(f"{name}-")]
    return max(known, key=len, default=stem)
