"""A spec as the launch form's data: the inverse of `form.spec_of`.

The form has one list of values per setting, and makes all their combinations. A spec whose entries are not all
combinations of their values has no equivalent form; `form_of` gives None, and the page shows it as TOML.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.http import QueryDict

from rlm_runs.experiments.plan import PlannedArm, resolve
from rlm_runs.experiments.problems import SpecError

from .form import SIMPLE, spec_of

_TABLES = ("sampling", "early_stopping", "budget")
_LISTS = ("environments", "scaffolds", "models")
_DEFAULTS: dict[str, Any] = {"seed": 0, "repetitions": 1}


def form_of(spec: Mapping[str, Any]) -> QueryDict | None:
    """Returns the form's data for a spec; None if no form is equivalent to it. The spec may be invalid."""
    if not _is_readable(spec):
        return None
    data = _data_of(spec)
    said = spec_of(data)
    return data if _normal(said) == _normal(spec) or _make_the_same(said, spec) else None


def _is_readable(spec: Mapping[str, Any]) -> bool:
    """Returns whether the lists and tables of a spec have the right types, and its entries have names."""
    entries = [entry for kind in _LISTS for entry in _as_list(spec.get(kind, ()))]
    return (
        all(isinstance(spec.get(kind, ()), list | tuple) for kind in _LISTS)
        and all(isinstance(spec.get(table, {}), Mapping) for table in _TABLES)
        and all(isinstance(_table(entry).get("name"), str) for entry in entries)
    )


def _as_list(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list | tuple) else ()


def _table(entry: Any) -> Mapping[str, Any]:
    if isinstance(entry, str):
        return {"name": entry}
    return entry if isinstance(entry, Mapping) else {}


def _normal(spec: Mapping[str, Any]) -> str:
    """Returns JSON that is equal for specs that differ only in order, defaults or notation."""
    rest = {key: value for key, value in spec.items() if key not in (*_LISTS, "sampling")}
    kept = {key: value for key, value in {**_DEFAULTS, **rest}.items() if value not in (None, "", {})}
    sampling = spec.get("sampling", {})
    lists = {
        kind: sorted(
            json.dumps(_plain({**(sampling if kind == "models" else {}), **_table(entry)}), sort_keys=True)
            for entry in _as_list(spec.get(kind, ()))
        )
        for kind in _LISTS
    }
    if "early_stopping" in rest:
        kept["early_stopping"] = rest["early_stopping"]
    return json.dumps(_plain({**kept, **lists}), sort_keys=True)


def _plain(value: Any) -> Any:
    """Returns the value with `none` in place of None, and ints in place of whole floats."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None:
        return "none"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, bool | int | float) else str(value)


def _make_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether two specs create the same arms with the same examples, budget and rules."""
    try:
        first, second = resolve(one), resolve(other)
    except SpecError:
        return False
    same = ("examples", "seed", "repetitions", "early_stopping", "budget")
    if any(getattr(first.spec, name) != getattr(second.spec, name) for name in same):
        return False
    return {repr(_arm(arm)) for arm in first.arms} == {repr(_arm(arm)) for arm in second.arms}


def _arm(planned: PlannedArm) -> tuple[Any, ...]:
    models = (planned.model.name, planned.sub_model.name, planned.judge_model.name)
    settings = (planned.environment.settings, planned.scaffold_settings)
    return planned.environment.name, planned.scaffold, *models, *settings, sorted(planned.sampling.given.items())


def _data_of(spec: Mapping[str, Any]) -> QueryDict:
    data = QueryDict(mutable=True)
    for name in SIMPLE:
        if spec.get(name) not in (None, ""):
            data[name] = str(spec[name])
    for kind in ("environments", "scaffolds"):
        _add_entries(data, kind, spec.get(kind, ()))
    _add_models(data, spec)
    if "early_stopping" in spec:
        data["early_stopping"] = "on"
    for table in ("early_stopping", "budget"):
        for key, value in spec.get(table, {}).items():
            if value is not None:
                data[f"{table}.{key}"] = _written(value)
    return data


def _add_entries(data: QueryDict, kind: str, entries: Iterable[Any]) -> None:
    values: dict[str, dict[str, list[str]]] = {}
    for entry in entries:
        table = _table(entry)
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
        table = _table(entry)
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
