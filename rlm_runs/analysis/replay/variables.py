"""Variables of a REPL after each cell: their values, their changes, and the cells that wrote them."""

from __future__ import annotations

import ast
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...models import Execution, Trajectory
from ...models.texts import unescape
from ..transcripts import EMPTY, code_of, excerpts

_CODE_CHARS = 100_000


@dataclass(frozen=True)
class Variable:
    """One variable after a cell. `change` is "new", "changed" or ""; `size` is text, "" if unknown."""

    name: str
    type: str
    size: str
    repr: str
    change: str


@dataclass(frozen=True)
class CellVariables:
    """The variables after a cell. `turn` and `cell` count from 1; `gone` are names that the cell removed."""

    execution: int
    turn: int
    cell: int
    variables: tuple[Variable, ...]
    gone: tuple[str, ...]

    @property
    def changed(self) -> tuple[Variable, ...]:
        """The variables that are new or changed."""
        return tuple(variable for variable in self.variables if variable.change)


@dataclass(frozen=True)
class VariableHistory:
    """All cells of a conversation. `writers` maps each name to the numbers of the cells that wrote it."""

    cells: tuple[CellVariables, ...]
    writers: Mapping[str, tuple[int, ...]]

    def after(self, cell: int) -> CellVariables | None:
        """Returns the variables after a cell, by its number from 1; None if there is no such cell."""
        return next((each for each in self.cells if each.cell == cell), None)


def read(trajectory: Trajectory) -> VariableHistory:
    """Returns the variables of a conversation's REPL. Two queries.

    A variable counts as written if its type, size or preview changed, or if the cell's code binds its name,
    because a change inside a large value may not show in its preview.
    """
    rows = list(
        Execution.objects.filter(turn__trajectory=trajectory, kind=Execution.Kind.CELL)
        .order_by("turn__index", "position")
        .values_list("pk", "turn__index", "arguments_id", "variables", "finished", "state_lost")
    )
    sources = excerpts({row[2] for row in rows}, chars=_CODE_CHARS)
    writers: dict[str, list[int]] = defaultdict(list)
    cells: list[CellVariables] = []
    before: dict[str, tuple[str, str, str]] = {}
    for number, (pk, turn, arguments, stored, finished, state_lost) in enumerate(rows, start=1):
        if not finished:
            continue
        now = {unescape(row["name"]): (row["type"], row["size"], row["repr"]) for row in stored}
        bound = bound_names(code_of(sources.get(arguments, EMPTY))[0].text)
        found = tuple(_variable(name, now[name], before, bound) for name in now)
        for variable in found:
            if variable.change:
                writers[variable.name].append(number)
        gone = tuple(name for name in before if name not in now)
        cells.append(CellVariables(pk, turn + 1, number, found, gone))
        before = {} if state_lost else now
    return VariableHistory(tuple(cells), {name: tuple(numbers) for name, numbers in writers.items()})


def _variable(
    name: str, value: tuple[str, str, str], before: Mapping[str, tuple[str, str, str]], bound: set[str]
) -> Variable:
    change = "new" if name not in before else "changed" if before[name] != value or name in bound else ""
    kind, size, shown = (unescape(part) for part in value)
    return Variable(name, kind, size, shown, change)


def bound_names(code: str) -> set[str]:
    """Returns the names that a cell's code binds or modifies in place, as far as its text shows."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        found |= set(_bound_by(node))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue  # names inside are local
        waiting += ast.iter_child_nodes(node)
    return found


_CHANGING = frozenset(
    {
        "append",
        "extend",
        "insert",
        "remove",
        "pop",
        "clear",
        "sort",
        "reverse",
        "add",
        "discard",
        "update",
        "setdefault",
    }
)


def _bound_by(node: ast.AST) -> Iterable[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store()):
            yield name
        case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store()):
            yield name
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in _CHANGING:
            yield name
        case ast.alias(name=name, asname=alias):
            yield alias or name.partition(".")[0]
        case _:
            return
