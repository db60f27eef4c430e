"""URLs of other pages, which may have been removed."""

from __future__ import annotations

from typing import Any

from django.urls import NoReverseMatch, reverse


def address_of(view: str, *args: Any) -> str:
    """Returns the URL of a view; "" if the site has no such page."""
    try:
        return reverse(view, args=args)
    except NoReverseMatch:
        return ""
