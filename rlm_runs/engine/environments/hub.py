"""Rows of a dataset of the Hugging Face hub, through the package `datasets`, which is imported only here and late.

It is no dependency of this program: whoever has no use for the hub does not pay for it, and every environment has
a source that needs neither.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from .base import DataError
from .rows import Row, sample


def sample_hub(
    dataset: str, *, split: str, n: int, seed: int, instead: str, config: str | None = None
) -> list[Row]:
    """A uniformly random subset, the same for the same seed. Raises DataError, which says what to do `instead`."""
    rows = _loaded(dataset, config=config, split=split, instead=instead)
    # By number, since a row may be megabytes long.
    numbers = sample(range(len(rows)), n=n, seed=seed, source=dataset)
    return [Row(path=Path(dataset), line=number, columns=dict(rows[number]), unit="row") for number in numbers]


def _loaded(dataset: str, *, config: str | None, split: str, instead: str) -> Any:
    try:
        load_dataset = import_module("datasets").load_dataset
    except ImportError as error:
        raise DataError(
            f"{dataset} is read with a package that is not installed: pip install datasets. {instead}"
        ) from error
    try:
        return load_dataset(dataset, config, split=split)
    except Exception as error:  # of any type, from four libraries; nothing of ours runs inside
        first_line = str(error).strip().partition("\n")[0][:300]
        raise DataError(
            f"{dataset}, split {split}, cannot be had from the hub: {type(error).__name__}: {first_line}. "
            f"{instead}"
        ) from error
