"""A stored spec as the launch form's data: the inverse of `form.spec_of`.

The form has one list of values per setting, and makes all their combinations. A spec whose entries are not all
combinations of their values has no equivalent form; `says_the_same` detects this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.http import QueryDict

from rlm_runs.experiments.launch import SpecError
from rlm_runs.experiments.plan import resolve

_SIMPLE = ("name", "description", "examples", "seed", "repetitions", "sub_model", "judge_model")


def data_of(spec: Mapping[str, Any]) -> QueryDict:
    """The form's data for a spec, as close as the form can represent it."""
    data = QueryDict(mutable=True)
    for name in _SIMPLE:
        if spec.get(name) not in (None, ""):
            data[name] = str(spec[name])
    for kind in ("environments", "scaffolds"):
        _add_entries(data, kind, spec.get(kind, ()))
    _add_models(data, spec)
    return data


def says_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two specs make the same arms of the same examples."""
    try:
        first, second = resolve(one), resolve(other)
    except SpecError:
        return True  # the form reports the problem when it is submitted
    same = ("examples", "seed", "repetitions", "early_stopping")
    if any(getattr(first.spec, name) != getattr(second.spec, name) for name in same):
        return False
    return {repr(arm) for arm in map(_arm, first.arms)} == {repr(arm) for arm in map(_arm, second.arms)}


def _arm(planned: Any) -> tuple[Any, ...]:
    models = (planned.model.name, planned.sub_model.name, planned.judge_model.name)
    settings = (planned.environment.settings, planned.scaffold_settings)
    return planned.environment.name, planned.scaffold, *models, *settings, sorted(planned.sampling.given.items())


def _add_entries(data: QueryDict, kind: str, entries: Iterable[Any]) -> None:
    values: dict[str, dict[str, list[str]]] = {}
    for entry in entries:
        table = {"name": entry} if isinstance(entry, str) else entry
        of_entry = values.setdefault(str(table["name"]), {})
        for key, value in table.items():
            if key != "name" and (text := _written(value)) not in of_entry.setdefault(key, []):
                of_entry[key].append(text)
    for name, settings in values.items():
        data.appendlist(kind, name)
        for key, texts in settings.items():
            data[f"{kind}.{name}.{key}"] = ", ".join(texts)


def _add_models(data: QueryDict, spec: Mapping[str, Any]) -> None:
    sampling: dict[str, list[str]] = {
        key: [_written(value)] for key, value in spec.get("sampling", {}).items() if value is not None
    }
    for entry in spec.get("models", ()):
        table = {"name": entry} if isinstance(entry, str) else entry
        if table["name"] not in data.getlist("models"):
            data.appendlist("models", table["name"])
        for key, value in table.items():
            if key != "name" and (text := _written(value)) not in sampling.setdefault(key, []):
                sampling[key].append(text)
    for key, texts in sampling.items():
        data[f"sampling.{key}"] = ", ".join(texts)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_written, value))
    return "none" if value is None else str(value)
