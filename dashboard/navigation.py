"""The entries of the side navigation, in order. The command palette lists the same entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .addresses import address_of


@dataclass(frozen=True)
class Entry:
    """A page of the navigation. Pages with the same `section` mark it as current. `key` follows `g`."""

    view: str
    label: str
    icon: str
    section: str
    key: str

    @property
    def address(self) -> str:
        """The URL of the page; "" if the page has been removed."""
        return address_of(self.view)


ENTRIES = (
    Entry("home", "Home", "house", "home", "h"),
    Entry("experiments", "Experiments", "flask-conical", "experiments", "e"),
    Entry("rollouts", "Rollouts", "route", "rollouts", "r"),
    Entry("compare", "Compare", "git-compare", "compare", "c"),
    Entry("models", "Models", "box", "models", "m"),
    Entry("workers", "Workers", "server", "workers", "w"),
    Entry("shared-links", "Shared", "share-2", "shared", "s"),
)


def entries() -> Iterator[Entry]:
    """Yields the entries whose pages the site has."""
    return (entry for entry in ENTRIES if entry.address)
