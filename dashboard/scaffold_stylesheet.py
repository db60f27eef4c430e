"""The stylesheet with the colours of the scaffolds, generated from the registry.

Its path is among the static files, which pages of shared links can load as well.
"""

from __future__ import annotations

import hashlib
from functools import cache

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from rlm_runs.engine.scaffolds import registry

PATH = "static/scaffolds.css"


@login_not_required
@require_safe
@cache_control(public=True, max_age=31_536_000, immutable=True)
def stylesheet(request: HttpRequest) -> HttpResponse:
    """Returns a stylesheet with a custom property `--<key>` and a rule for the mark of each scaffold."""
    return HttpResponse(css(), content_type="text/css; charset=utf-8")


def address() -> str:
    """Returns the stylesheet's URL, with a version that changes with its content."""
    return f"/{PATH}?v={_version()}"


@cache
def css() -> str:
    """Returns the stylesheet."""
    colours = registry.colours()
    properties = "".join(f"  --{key}: {colour};\n" for key, colour in colours.items())
    rules = "".join(f".scaffold-{key} .mark {{ color: var(--{key}); }}\n" for key in colours)
    return f":root {{\n{properties}}}\n{rules}"


@cache
def _version() -> str:
    return hashlib.sha256(css().encode()).hexdigest()[:12]
