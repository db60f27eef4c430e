"""Rows of a dataset on the Hugging Face hub, through the package `datasets`.

The package is optional and is imported here only, on first use. Every environment has a source that needs neither
the package nor the hub.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from .base import DataError
from .local_files import Row, sample

T = TypeVar("T")


def sample_hub(
    dataset: str, *, split: str, n: int, seed: int, instead: str, config: str | None = None
) -> list[Row]:
    """Returns a uniformly random subset, the same for the same seed.

    Raises DataError, whose message says what to do `instead`.
    """
    rows = _loaded(dataset, config=config, split=split, instead=instead)
    # Sampled by number, because a row may be megabytes long.
    numbers = sample(range(len(rows)), n=n, seed=seed, source=dataset)
    return [_row(rows, number, dataset=dataset) for number in numbers]


def usable_of_hub(
    dataset: str,
    *,
    split: str,
    n: int,
    seed: int,
    instead: str,
    config: str | None = None,
    use: Callable[[Row], T],
) -> list[T]:
    """Returns `use` of each row, for the first `n` usable rows in random order. Rows that `use` refuses are
    skipped.

    A single bad row of the hub cannot be corrected. If most rows are refused, the problem lies elsewhere and the
    error is raised.
    """
    rows = _loaded(dataset, config=config, split=split, instead=instead)
    made: list[T] = []
    refused: list[DataError] = []
    for number in sample(range(len(rows)), n=len(rows), seed=seed, source=dataset):
        if len(made) == n:
            return made
        try:
            made.append(use(_row(rows, number, dataset=dataset)))
        except DataError as error:
            refused.append(error)
            if len(refused) > n + 20:
                raise error
    if len(made) < n:
        hint = f"; the last of the others: {refused[-1]}" if refused else ""
        raise DataError(f"{n} examples are asked for, and {dataset} has {len(made)} that can be used{hint}")
    return made


def _row(rows: Any, number: int, *, dataset: str) -> Row:
    return Row(path=Path(dataset), line=number, columns=dict(rows[number]), unit="row")


def _loaded(dataset: str, *, config: str | None, split: str, instead: str) -> Any:
    try:
        load_dataset = import_module("datasets").load_dataset
    except ImportError as error:
        raise DataError(
            f"{dataset} is read with a package that is not installed: pip install datasets. {instead}"
        ) from error
    try:
        return load_dataset(dataset, config, split=split)
    except Exception as error:  # of any type, from four libraries; none of our code runs inside
        first_line = str(error).strip().partition("\n")[0][:300]
        raise DataError(
            f"{dataset}, split {split}, cannot be had from the hub: {type(error).__name__}: {first_line}. "
            f"{instead}"
        ) from error
