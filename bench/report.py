"""The output of every benchmark: figures, each beside a reference from the same run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One measurement, and its floor or peer in the same unit."""

    name: str
    value: float
    unit: str
    reference: str
    reference_value: float

    @property
    def ratio(self) -> float:
        """The value as a multiple of the reference."""
        return self.value / self.reference_value


def show(figure: Figure, *, as_json: bool, **more: float) -> None:
    """Prints a row of the table, or one JSON object per line. Only the object contains `more`."""
    if as_json:
        print(json.dumps({**asdict(figure), "ratio": figure.ratio, **more}), flush=True)
        return
    print(
        f"{figure.name:58} {figure.value:9.2f} {figure.unit:9}"
        f" {figure.reference:20} {figure.reference_value:9.2f}  × {figure.ratio:.2f}",
        flush=True,
    )
