"""Icons of Lucide (lucide-static 1.62.0, ISC), vendored unchanged in `lucide/` and drawn inline.

To add one, copy its file from the npm package `lucide-static` of this version.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from django.utils.safestring import SafeString, mark_safe

_FOLDER = Path(__file__).parent / "lucide"
_SHAPES = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)


@cache
def icon(name: str) -> SafeString:
    """Returns the icon in the text's size and colour, hidden from screen readers because its control has a name.

    Raises FileNotFoundError for a name without a file.
    """
    found = _SHAPES.search((_FOLDER / f"{name}.svg").read_text())
    assert found is not None, f"{name}.svg is no icon"
    shapes = " ".join(found[1].split())
    return mark_safe(
        '<svg class="icon" viewBox="0 0 24 24" width="16" height="16" aria-hidden="true" focusable="false">'
        f"{shapes}</svg>"
    )
