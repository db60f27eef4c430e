"""The sections of an experiment in order, each a page with its own address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .addresses import address_of


@dataclass(frozen=True)
class Section:
    """A tab of an experiment's pages."""

    name: str
    label: str
    address: str


_SECTIONS = (
    ("overview", "Overview", "experiment"),
    ("figures", "Figures", "figures"),
    ("arms", "Arms", "experiment-arms"),
    ("behaviour", "Behaviour", "behaviour"),
    ("rollouts", "Rollouts", "experiment-rollouts"),
    ("settings", "Settings", "experiment-settings"),
    ("log", "Log", "experiment-log"),
)
_OF_ACCOUNTS = {"log"}
"""Sections that a shared link does not show."""


def sections(slug: str, *, sees_all: bool) -> Iterator[Section]:
    """Yields the sections whose pages exist and that the reader may open."""
    for name, label, view in _SECTIONS:
        address = address_of(view, slug)
        if address and (sees_all or name not in _OF_ACCOUNTS):
            yield Section(name, label, address)
