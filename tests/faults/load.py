"""The load: a model server whose replies are all different, and which remembers each of them.

The first message of an example is unique, so a request names its rollout and its turn. A reply is found again in
the store by its number, and a turn that was asked twice is seen here.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
import threading
import time
from dataclasses import dataclass

from tests.scripted_server import Body, ScriptedServer, completion

TURNS = 6
BATCH_TURN = 2
BATCH = 4


@dataclass(frozen=True)
class Served:
    """One reply: the conversation and the turn that asked, and the times at which it was asked and answered."""

    conversation: str
    turn: int
    number: int
    asked_at: float
    answered_at: float


class Load:
    """Serves rollouts of six turns, each a cell; the third calls four sub-LLMs, and the last submits.

    `latency` is the mean time of an answer in seconds; `cell_seconds` is slept in each cell.
    """

    def __init__(self, *, latency: float = 0.2, cell_seconds: float = 0.0) -> None:
        self.served: list[Served] = []
        self._latency = latency
        self._cell_seconds = cell_seconds
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._server = ScriptedServer(self._reply)

    @property
    def url(self) -> str:
        return self._server.url

    def __enter__(self) -> Load:
        self._server.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.__exit__(*exc)

    def _reply(self, request: Body) -> Body:
        asked_at = time.time()
        messages = request["messages"]
        turn = sum(message["role"] == "assistant" for message in messages)
        conversation = _name(messages)
        time.sleep(self._latency * random.uniform(0.5, 1.5))
        with self._lock:
            number = next(self._numbers)
        body = self._body(conversation, turn, number)
        with self._lock:
            self.served.append(Served(conversation, turn, number, asked_at, time.time()))
        return body

    def _body(self, conversation: str, turn: int, number: int) -> Body:
        if conversation.startswith("sub "):
            return completion(f"reply {number}")
        if turn == TURNS - 1:
            code = 'answer["content"] = "x"; answer["ready"] = True'
        elif turn == BATCH_TURN:
            prompts = [f"sub {conversation} {index}" for index in range(BATCH)]
            code = f"print(len(llm_batch({prompts!r})))"
        else:
            code = f"x{turn} = {turn}; print(x{turn})"
        if self._cell_seconds:
            code = f"import time; time.sleep({self._cell_seconds})\n{code}"
        return completion(f"reply {number}", calls=[("call_python_repl", {"code": code})])


def _name(messages) -> str:
    """The sub-LLM's prompt, or a hash of what the root was sent first."""
    opening = next((str(m["content"]) for m in reversed(messages) if m["role"] == "user"), "")
    if found := re.match(r"sub \w+ \d+$", opening):
        return found[0]
    first = [str(message["content"]) for message in messages[:2]]
    return hashlib.sha256("".join(first).encode()).hexdigest()[:16]
