"""User-defined classes, from the files of a folder and from entry points of installed packages.

Both are loaded once, when a registry is created. A broken class stops the start with an error that names it,
because a class that is silently missing would fail in the middle of an experiment.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Extensions(Generic[T]):
    """The sources of user-defined classes of one kind.

    `folder_variable` is the environment variable that names the folder; `entry_points` is the group of entry
    points. `error` creates the exception for an unusable class, from a message with the file and the line.
    """

    base: type[T]
    folder_variable: str
    entry_points: str
    module_prefix: str
    error: Callable[[str], Exception]

    def all(self) -> Iterator[tuple[str, type[T]]]:
        """Yields each class with the file or the entry point that it comes from."""
        folder = os.environ.get(self.folder_variable, "")
        if folder:
            yield from self.from_folder(Path(folder))
        yield from self.from_entry_points()

    def from_folder(self, folder: Path) -> Iterator[tuple[str, type[T]]]:
        """Yields each class with its file. Files whose name begins with an underscore are skipped."""
        if not folder.is_dir():
            raise self.error(f"{self.folder_variable} names {folder}, which is no folder")
        for path in sorted(folder.glob("[!_.]*.py")):
            module = self._import(path)
            defined = [
                one for one in vars(module).values() if self._fits(one) and one.__module__ == module.__name__
            ]
            if not defined:
                name = self.base.__name__
                raise self.error(f"{path} defines no subclass of {name} (a file that starts with _ may)")
            for one in defined:
                yield str(path), one

    def from_entry_points(self) -> Iterator[tuple[str, type[T]]]:
        """Yields each class that the entry points of installed packages name."""
        for point in entry_points(group=self.entry_points):
            where = f"the entry point {point.name} = {point.value!r}"
            try:
                loaded = point.load()
            except Exception as error:
                raise self.error(f"{where} cannot be loaded: {_describe(error)}") from error
            if not self._fits(loaded):
                raise self.error(f"{where} is no subclass of {self.base.__name__}")
            yield where, loaded

    def _fits(self, value: Any) -> bool:
        return inspect.isclass(value) and issubclass(value, self.base) and value is not self.base

    def _import(self, path: Path) -> ModuleType:
        name = self.module_prefix + path.stem
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # pydantic and dataclasses look up the modules of their classes by name.
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise self.error(f"{path} cannot be loaded: {_describe(error, path=path)}") from error
        return module


def _describe(error: Exception, *, path: Path | None = None) -> str:
    """Returns the error's text, with the line of the file that caused it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return f"{type(error).__name__}: {error}" + (f" (line {line})" if line else "")
