"""Run folders of verifiers v0: `results.jsonl`, one rollout per line, beside `metadata.json`.

The metadata holds what all rollouts of the run share; `verifiers_rows` reads the lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .numbers import seconds_of_ms
from .records import ImportedRollout, Malformed, Unreadable, json_file, json_rows
from .verifiers_rows import Row, RunSettings

RESULTS, METADATA = "results.jsonl", "metadata.json"
_SECRET = re.compile(r"api_?key|token$|secret|password|authorization|headers", re.IGNORECASE)


@dataclass(frozen=True)
class VerifiersV0:
    """A run folder. Implements `Source`; `path` is its `results.jsonl`."""

    path: Path
    format: str = "verifiers_v0"

    @cached_property
    def _metadata(self) -> dict[str, Any]:
        metadata = self.path.with_name(METADATA)
        if not metadata.is_file():
            raise Unreadable(self.path, f"there is no {METADATA} beside it, which names the model")
        found: dict[str, Any] = without_secrets(json_file(metadata))
        return found | {"base_url": _host(found.get("base_url"))}

    def about(self) -> Mapping[str, Any]:
        """Returns the metadata without values that may be keys. See `Source`."""
        return self._metadata

    def rollouts(self) -> Iterator[ImportedRollout]:
        """See `Source`."""
        try:
            settings = run_settings(self._metadata, self.path)
        except Malformed as error:
            raise Unreadable(self.path.with_name(METADATA), str(error)) from error
        for line, row in json_rows(self.path):
            try:
                yield Row(settings, row).rollout(line)
            except Malformed as error:
                raise Unreadable(self.path, str(error), line=line) from error


def run_settings(metadata: Mapping[str, Any], path: Path) -> RunSettings:
    """Returns the settings that the metadata gives for all rollouts of a run. Raises Malformed."""
    environment = metadata.get("env_id") or metadata.get("env") or _environment_of_folder(path)
    model, arguments = metadata.get("model"), metadata.get("env_args") or {}
    environment = environment.rpartition("/")[2].partition("@")[0] if isinstance(environment, str) else ""
    if not environment:
        raise Malformed("it names no environment (env_id)")
    if not isinstance(model, str) or not model:
        raise Malformed("it names no model")
    if not isinstance(arguments, Mapping):
        raise Malformed("env_args is not an object")
    return RunSettings(
        environment=environment.replace("_", "-"),
        model=model,
        arguments=arguments,
        endpoint=metadata["base_url"],
        sampling=_sampling(metadata.get("sampling_args")),
        began=_start_of_run(metadata, path),
    )


def without_secrets(value: Any) -> Any:
    """Returns a JSON value without members whose names suggest keys or passwords."""
    if isinstance(value, dict):
        return {name: without_secrets(item) for name, item in value.items() if not _SECRET.search(str(name))}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def _environment_of_folder(path: Path) -> str:
    """Returns the environment in the name of a run folder, `{environment}--{model}`; "" without one."""
    folder = path.parent.parent.name
    return folder.partition("--")[0] if "--" in folder else ""


def _host(url: Any) -> str:
    """Returns the host of the endpoint's URL, without the rest of it."""
    try:
        return (urlsplit(url).hostname or "") if isinstance(url, str) else ""
    except ValueError:
        return ""


def _sampling(given: Any) -> dict[str, Any]:
    """Returns the sampling parameters that are set: no null, no empty extras, and not a count of one
    completion.
    """
    if not isinstance(given, Mapping):
        return {}
    said = {name: value for name, value in given.items() if value not in (None, {}, [], "")}
    return {name: value for name, value in said.items() if (name, value) != ("n", 1)}


def _start_of_run(metadata: Mapping[str, Any], path: Path) -> datetime:
    """Returns the start of a run: the date of its metadata, or the file's time, minus its duration."""
    took = seconds_of_ms(metadata.get("time_ms"), name="time_ms") or 0.0
    written = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    said = metadata.get("date") or metadata.get("time")
    if isinstance(said, str):
        try:
            found = datetime.fromisoformat(said)
        except ValueError:
            found = written
        written = found if found.tzinfo else found.replace(tzinfo=UTC)
    try:
        return written - timedelta(seconds=took)
    except OverflowError as error:
        raise Malformed(f"time_ms is no time that a run can take: {took * 1000:g}") from error
