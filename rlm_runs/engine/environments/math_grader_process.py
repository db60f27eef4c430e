"""The helper process that compares mathematical expressions: a script that `math_grader` runs.

It reads one JSON request per line from stdin and writes one JSON reply per line, {"yes": bool}: whether the text
of {"expression": …} is an expression, or whether {"gold": …, "answer": …} are equal. Its input comes from a model,
so it imports none of our code, has no environment variables, and limits its memory and the CPU time of each
request.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from typing import TextIO

MEMORY_BYTES = 2 << 30
CPU_SECONDS = 15
"""CPU seconds of one request. They end a process whose parent is gone and cannot stop it."""
SOFT_SECONDS = 4
"""math-verify's own limit of one step, in seconds. The parent's limit is the hard one."""


def main() -> None:
    """Answers requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output that a library prints must not pass for a reply
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.set_int_max_str_digits(10_000)
    logging.disable(logging.CRITICAL)
    import math_verify  # noqa: F401  the first request should not pay for the import

    _reply(replies, {"ready": True})
    for line in sys.stdin:
        _allow_cpu_seconds(CPU_SECONDS)
        request = json.loads(line)
        _reply(replies, {"yes": _verdict(request)})


def _verdict(request: dict[str, str]) -> bool:
    try:
        if "expression" in request:
            return _is_expression(request["expression"])
        return _equal(gold=request["gold"], answer=request["answer"])
    except Exception:  # input that crashes the library is no expression and equal to none
        return False


def _is_expression(text: str) -> bool:
    from math_verify import parse

    return bool(parse(f"\\boxed{{{text}}}", fallback_mode="no_fallback", parsing_timeout=SOFT_SECONDS))


def _equal(*, gold: str, answer: str) -> bool:
    from math_verify import parse, verify

    gold_parsed = parse(f"\\boxed{{{gold}}}", parsing_timeout=SOFT_SECONDS)
    answer_parsed = parse(answer, parsing_timeout=SOFT_SECONDS)
    return bool(verify(gold_parsed, answer_parsed, timeout_seconds=SOFT_SECONDS))


def _allow_cpu_seconds(seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, hard))


def _reply(replies: TextIO, reply: dict[str, bool]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
