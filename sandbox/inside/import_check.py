"""Imports every module of the named distributions, while an image is built."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata


def modules_of(name: str) -> set[str]:
    distribution = metadata.distribution(name)
    listed = distribution.read_text("top_level.txt")
    if listed:
        found = set(listed.split())
    else:
        files = distribution.files or []
        found = {file.parts[0] for file in files if len(file.parts) > 1 and file.name == "__init__.py"}
        found |= {file.stem for file in files if len(file.parts) == 1 and file.suffix == ".py"}
    return {one for one in found if one.isidentifier() and not one.startswith("_")}


def main() -> None:
    for name in sys.argv[1:]:
        for module in sorted(modules_of(name)):
            try:
                importlib.import_module(module)
            except BaseException as error:
                sys.exit(f"ERROR: {name}: import {module} failed: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
