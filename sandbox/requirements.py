"""pip requirements as an environment names them, validated before they reach a build."""

from __future__ import annotations

import re

from sandbox.contract import ImageError

_REQUIREMENT = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:[\[<>=!~;@ ].*)?", re.ASCII)


def normalized(packages: tuple[str, ...]) -> tuple[str, ...]:
    """Returns sorted, unique requirements. Raises ImageError for anything else, such as an option."""
    for package in packages:
        name_of(package)
    return tuple(sorted({package.strip() for package in packages}))


def name_of(package: str) -> str:
    """Returns the distribution's name, such as `scipy` for `scipy>=1.10; python_version > "3.9"`."""
    match = _REQUIREMENT.fullmatch(package.strip())
    if match is None or not package.isprintable():
        raise ImageError(f"{package!r} is not a pip requirement such as 'numpy' or 'scipy>=1.10'")
    return match[1]
