"""Writes to the `answer` dict, inferred from a cell's source, because files do not record the dict.

The content is known only while every assignment is a plain string and nothing else touches the dict.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

_READY = re.compile(r"""\bready["']?\s*\]?\s*[=:](?!=)\s*(?!False)\S""")
_ANSWER = re.compile(r"\banswer\b")
_LOOKING = frozenset({"print", "repr", "str", "type", "len", "dict"})


@dataclass(frozen=True)
class AnswerWrites:
    """The effect of a cell on `answer`. `content` is the content that it sets, None if it sets none.

    `is_known` is false if only running the cell would show what it writes.
    """

    content: str | None
    ready: bool
    is_known: bool


NOTHING = AnswerWrites(content=None, ready=False, is_known=True)


def answer_writes(code: str, *, failed: bool) -> AnswerWrites:
    """Returns what a cell's source writes to `answer`. After a failed cell the effect is unknown."""
    if not _ANSWER.search(code):
        return NOTHING
    ready = not failed and _READY.search(code) is not None
    module = _parsed(code)
    if module is None:  # it cannot have run
        return AnswerWrites(content=None, ready=False, is_known=True)
    uses = sum(map(_is_answer, ast.walk(module)))
    plain = [text for node in module.body if (text := _plain_content(node)) is not None]
    writes = len(plain) + sum(_is_ready_flag(node) for node in module.body)
    is_known = uses == writes + _harmless_uses(module) and not (failed and writes)
    return AnswerWrites(content=plain[-1] if plain and is_known else None, ready=ready, is_known=is_known)


def _parsed(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of the parsed code, not of ours
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _harmless_uses(module: ast.Module) -> int:
    """Returns the number of uses that only read `answer`: a key is read, or the dict is printed."""
    return sum(
        _is_answer(looked_at)
        for node in ast.walk(module)
        for looked_at in (
            [node.value]
            if isinstance(node, ast.Expr | ast.FormattedValue)
            or (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load))
            else node.args
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _LOOKING
            else []
        )
    )


def _is_answer(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Name) and node.id == "answer"


def _assigned(node: ast.stmt, key: str) -> ast.expr | None:
    """Returns the value in `answer[key] = value`."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return None
    target = node.targets[0]
    if not isinstance(target, ast.Subscript) or not _is_answer(target.value):
        return None
    index = target.slice
    return node.value if isinstance(index, ast.Constant) and index.value == key else None


def _plain_content(node: ast.stmt) -> str | None:
    value = _assigned(node, "content")
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _is_ready_flag(node: ast.stmt) -> bool:
    value = _assigned(node, "ready")
    return isinstance(value, ast.Constant) and isinstance(value.value, bool)
