"""The input and the output of a policy: a conversation read from messages and tools, and a reply.

All randomness of a policy comes from `chance(…)`, a hash of the conversation's opening and a name. A reply
therefore depends only on the conversation.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .tokens import content_text

REPL_TOOL = "call_python_repl"
PYTHON_TOOL = "python"
STUCK_AFTER = 3
"""The number of consecutive failed cells after which the model gives up."""


@dataclass(frozen=True)
class Reply:
    """The model's reply: reasoning, text, and at most one tool call with code or `arguments`."""

    content: str = ""
    reasoning: str = ""
    tool: str = ""
    code: str = ""
    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Step:
    """A tool call with its result, without the line that shows the time."""

    code: str
    shown: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the cell ended in a traceback."""
        return "Traceback (most recent call last)" in self.shown or bool(
            re.search(r"^\w*(?:Error|Exception|Interrupt)\b", self.shown, re.MULTILINE)
        )


@dataclass(frozen=True)
class Conversation:
    """The opening messages and the steps since."""

    system: str
    task: str
    tools: frozenset[str]
    steps: tuple[Step, ...]
    seed: str
    steady_seed: str
    """The hash of the opening. Tools are not part of it, because a sub-LLM's last turn has none."""

    @property
    def is_rlm(self) -> bool:
        """Whether the model has a REPL."""
        return REPL_TOOL in self.tools

    @property
    def has_tips(self) -> bool:
        """Whether the prompt has the environment's tips."""
        return "<env_tips>" in self.task

    @property
    def question(self) -> str:
        """The task without tips and without the inlined input data."""
        return self.task.split("<env_tips>")[0].split("\n<context>\n")[0]

    @property
    def inlined(self) -> str:
        """The input data in the prompt of a model without a REPL."""
        match = re.search(r"\n<context>\n(.*)\n</context>", self.task, re.DOTALL)
        return match.group(1) if match else ""

    @property
    def is_stuck(self) -> bool:
        """Whether the last cells all failed."""
        last = self.steps[-STUCK_AFTER:]
        return len(last) == STUCK_AFTER and all(step.failed for step in last)

    def did(self, code: str) -> bool:
        """Returns whether an earlier cell contained this code."""
        return any(code in step.code for step in self.steps)

    def rng(self, name: str) -> random.Random:
        """Returns random numbers of this conversation, a different stream for each name."""
        return random.Random(f"{self.seed}|{name}")

    def steady_rng(self, name: str) -> random.Random:
        """Returns random numbers that also stay the same in a turn without the tools."""
        return random.Random(f"{self.steady_seed}|{name}")

    def chance(self, probability: float, name: str) -> bool:
        """Returns a random decision that stays the same in every turn of the conversation."""
        return self.rng(name).random() < probability


def read_conversation(
    messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]], seed: str
) -> Conversation:
    """Returns the conversation. Never fails on any list of messages."""
    system = "\n".join(_text(m) for m in messages if m.get("role") in ("system", "developer"))
    task = next((_text(m) for m in messages if m.get("role") == "user"), "")
    functions = [tool.get("function") for tool in tools]
    names = frozenset(str(f.get("name")) for f in functions if isinstance(f, dict))
    return Conversation(
        system=system,
        task=task,
        tools=names,
        steps=_steps(messages),
        seed=_digest(seed, system, task, *sorted(names)),
        steady_seed=_digest(seed, system, task),
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()


def _steps(messages: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    called: dict[str, dict[str, Any]] = {}
    steps: list[Step] = []
    for message in messages:
        for call in message.get("tool_calls") or []:
            called[str(call.get("id"))] = _arguments((call.get("function") or {}).get("arguments"))
        if message.get("role") == "tool":
            shown = re.sub(r"\n?\[Execution time: [^\]]*\]\s*$", "", _text(message))
            arguments = called.get(str(message.get("tool_call_id")), {})
            steps.append(Step(code=str(arguments.get("code", "")), shown=shown, arguments=arguments))
    return tuple(steps)


def _arguments(written: Any) -> dict[str, Any]:
    try:
        parsed = json.loads(written)
    except (TypeError, ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _text(message: Mapping[str, Any]) -> str:
    return content_text(message.get("content"))
