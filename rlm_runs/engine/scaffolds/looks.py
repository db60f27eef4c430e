"""Marks and colours of scaffolds that declare none: the next free mark and the next readable colour."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator

from .base import Mark

MARKS = (
    Mark("◆", "diamond"),
    Mark("✚", "cross"),
    Mark("★", "star"),
    Mark("▼", "triangle-down"),
    Mark("⬟", "pentagon"),
    Mark("✶", "hexagram"),
    Mark("✖", "x"),
    Mark("◗", "circle-open"),
    Mark("□", "square-open"),
    Mark("△", "triangle-up-open"),
)
"""Marks for scaffolds without one, in this order. They repeat when all are taken."""
OTHER_MARK = Mark("◆", "diamond")
OTHER_COLOUR = "#cc79a7"
"""The look of scaffolds that are not in the registry, whose names come from imported files."""

_OKABE_ITO = ("#cc79a7", "#56b4e9", "#e69f00", "#f0e442", "#009e73", "#0072b2", "#d55e00")
_PAPERS = ("#ffffff", "#131518")
"""The background colours of the light and the dark page."""
_LEAST_CONTRAST = 3.0
"""The contrast that WCAG 2.2, success criterion 1.4.11, requires of graphical objects."""
_GOLDEN_ANGLE = 0.381966
"""The change of hue from one generated colour to the next, which keeps neighbours far apart."""


def free_marks(taken: set[Mark]) -> Iterator[Mark]:
    """Yields marks without end, free ones first."""
    yield from (mark for mark in MARKS if mark not in taken)
    while True:
        yield from MARKS


def free_colours(taken: set[str]) -> Iterator[str]:
    """Yields readable colours without end: the rest of Okabe and Ito's palette, then generated ones."""
    yield from (colour for colour in _OKABE_ITO if colour not in taken and is_readable(colour))
    hue = 0.75
    while True:
        colour = _generated(hue)
        if colour not in taken:
            yield colour
        hue = (hue + _GOLDEN_ANGLE) % 1


def is_readable(colour: str) -> bool:
    """Returns whether a colour has a contrast of at least 3:1 on the light and on the dark page."""
    return all(contrast(colour, paper) >= _LEAST_CONTRAST for paper in _PAPERS)


def contrast(one: str, other: str) -> float:
    """Returns the contrast ratio of two colours `#rrggbb`, from 1 to 21, as WCAG 2.2 defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _generated(hue: float) -> str:
    """Returns a colour of this hue whose lightness is readable on both pages."""
    for percent in range(50, 100):
        for lightness in (percent / 100, 1 - percent / 100):
            red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.65)
            colour = f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
            if is_readable(colour):
                return colour
    raise AssertionError("each hue has a readable lightness")
