"""Functions for the REPL, given as Python source: checked at launch, listed in the prompt, run before any cell."""

from __future__ import annotations

import ast
import symtable
import warnings

RESERVED = frozenset({"answer", "context", "llm_batch"})
"""Names that the REPL defines."""


def check_source(source: str) -> str:
    """Returns the source. Raises ValueError, with the line if known, if it cannot run in a REPL."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in the user's string is not our concern
            compile(source, "functions", "exec", dont_inherit=True)
            symbols = symtable.symtable(source, "functions", "exec").get_symbols()
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("is nested too deeply to be compiled") from error
    taken = sorted(
        RESERVED & {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    )
    if taken:
        raise ValueError(f"must not define {', '.join(taken)}: the REPL has that already")
    return source


def signatures(source: str) -> list[str]:
    """Returns each public function as `name(a, b=1) -> str`, with its docstring."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = ast.parse(source).body
    return [
        _line(node)
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]


def _line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    signature = f"`{node.name}({ast.unparse(node.args)}){returns}`"
    about = (ast.get_docstring(node) or "").strip()
    # The whole docstring, because its author wrote it for the caller of the function.
    return f"{signature}: {about}".replace("\n", "\n    ") if about else signature
