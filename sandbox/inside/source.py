"""The source of a cell: parses it like a notebook, and repairs fences and indentation that models add.

Only source that does not compile is repaired, so code that Python accepts never changes its meaning.
"""

from __future__ import annotations

import re
from _ast import Expr, If, PyCF_ALLOW_TOP_LEVEL_AWAIT, PyCF_ONLY_AST  # `ast` has much more and is slow to import

TYPE_CHECKING = False  # replaces `typing.TYPE_CHECKING`, whose import takes a tenth of a sandbox's start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

COMPILE_FLAGS = PyCF_ALLOW_TOP_LEVEL_AWAIT
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[ \t]*$")
_LINE_END = re.compile(r"\r\n|\r|\n")
_MAGIC = re.compile(r"\s*(?:[\w, ]+=\s*)?(%%?|!)\s*(\w+)?")
_SHELLS = ("bash", "sh", "shell", "system", "sx")
_INSTALLERS = re.compile(r"[^%!]*[%!]\s*(python3?\s+-m\s+)?(pip3?|conda|mamba|uv|apt|apt-get)\b")


class Parsed:
    """A cell's syntax tree, the names of its repairs, and whether its last value is shown."""

    def __init__(self, tree: Any, *, repairs: list[str], shows_value: bool) -> None:
        self.tree = tree
        self.repairs = repairs
        self.shows_value = shows_value


def parse(code: str, *, name: str) -> Parsed:
    """Returns the parsed cell. Raises SyntaxError for the cell as written, and ValueError if it contains a NUL."""
    try:
        return _parsed(code, _parse(code, name=name))
    except SyntaxError as problem:
        problems = [problem]
    for repairs, attempt in _repairs(code, name=name):
        try:
            return _parsed(code, attempt(), repairs=repairs)
        except SyntaxError as problem:
            problems.append(problem)
    for one in problems:
        _refuse_magic(code, one)
    raise problems[0]


def _parse(code: str, *, name: str) -> Any:
    return compile(code, name, "exec", PyCF_ONLY_AST | COMPILE_FLAGS, dont_inherit=True)


def _parsed(code: str, tree: Any, *, repairs: list[str] | None = None) -> Parsed:
    return Parsed(tree, repairs=repairs or [], shows_value=not _ends_in_semicolon(code, tree))


def _repairs(code: str, *, name: str) -> list[tuple[list[str], Callable[[], Any]]]:
    """Returns possible repairs of the cell, the smallest first, each with its names and a function that parses it.

    Lines keep their numbers, because tracebacks show them as the model wrote them.
    """
    done: list[str] = []
    if code.startswith("\ufeff"):
        done.append("byte_order_mark")
        code = code[1:]
    ways: list[tuple[list[str], Callable[[], Any]]] = [([*done], lambda: _parse(code, name=name))] if done else []
    inner = _without_fences(code)
    if inner is not None:
        done.append("code_fence")
        ways.append(([*done], lambda: _parse(inner, name=name)))
    source = code if inner is None else inner
    ways.append(([*done, "indentation"], lambda: _parse_indented(source, name=name)))
    return ways


def _without_fences(code: str) -> str | None:
    """Returns the cell with blank lines in place of its fences; None unless all of it is in fenced blocks.

    The last fence may be missing.
    """
    lines, fence, found = code.split("\n"), "", False
    for place, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence, found, lines[place] = mark[1], True, ""
        elif mark and mark[1] == fence and not mark[2]:
            fence, lines[place] = "", ""
        elif not fence and line.strip():
            return None
    return "\n".join(lines) if found else None


def _parse_indented(code: str, *, name: str) -> Any:
    """Parses a cell that is indented as a whole, or in its first line only.

    The cell becomes the body of an `if`. Removing spaces from its lines would change multi-line strings.
    """
    tree = _parse(f"if True:\n{code}", name=name)
    block = tree.body[0]
    if type(block) is not If or block.orelse:
        raise IndentationError("the cell is not indented uniformly")
    from ast import increment_lineno  # imported only when needed, see above

    tree.body[:1] = block.body
    return increment_lineno(tree, -1)


def _ends_in_semicolon(code: str, tree: Any) -> bool:
    """Returns whether a semicolon follows the last expression, which is then not shown, as in a notebook."""
    last = tree.body[-1] if tree.body else None
    if type(last) is not Expr or last.end_lineno is None:
        return False
    line = _LINE_END.split(code)[last.end_lineno - 1]
    return line.encode("utf-8", "surrogatepass")[last.end_col_offset :].lstrip(b" \t").startswith(b";")


def _refuse_magic(code: str, error: SyntaxError) -> None:
    """Raises a SyntaxError with advice if the line that Python refused is for a shell or for IPython."""
    lines = _LINE_END.split(code)
    number = error.lineno or 0
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    mark = _MAGIC.match(line)
    if mark is None:
        return
    if _INSTALLERS.match(line):
        advice = "Packages cannot be installed here: there is no network. Use the ones that are installed."
    elif mark[1] == "!" or mark[2] in _SHELLS:
        advice = "Shell lines do not work here: use Python, for example subprocess.run or pathlib."
    else:
        advice = "IPython's magics do not work here: write plain Python."
    raise SyntaxError(advice, (error.filename, number, None, line)) from None
