"""The CPU time of a worker for a model call: conversations of thirty turns with a server that answers at once.

    python -m bench.model_calls [--turns 30] [--conversations 20] [--json]

A turn adds about 7 kB, so the last request has 220 kB. The references are OpenAI's own client, and `json.dumps`
with httpx2; both send and read the same.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai

from bench.report import Figure, show
from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.chat import ChatClient
from rlm_runs.engine.clients.message_log import MessageLog

OPENING = [{"role": "system", "content": "s" * 3000}, {"role": "user", "content": "a question, même\n" * 300}]
TOOL = {
    "type": "function",
    "function": {
        "name": "call_python_repl",
        "description": "d" * 300,
        "parameters": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "call_python_repl", "arguments": json.dumps({"code": "print(1)\n" * 60})},
}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": "thinking " * 100, "tool_calls": [CALL]},
        }
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}
SHOWN = {"role": "tool", "tool_call_id": "call_1", "content": "output line\n" * 400}

Ask = Callable[[Any], object]


@contextmanager
def server() -> Iterator[str]:
    """The base URL of a server in a process of its own, so that its CPU time is not counted."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    process = multiprocessing.get_context("fork").Process(target=_serve, args=[listener], daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        process.terminate()
        listener.close()


def _serve(listener: socket.socket) -> None:
    body = json.dumps(ANSWER).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def converse(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while stream.readline():
            length = 0
            while (line := stream.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            stream.read(length)
            connection.sendall(head + body)

    while True:
        threading.Thread(target=converse, args=[listener.accept()[0]], daemon=True).start()


def cpu_per_call(ask: Ask, log: Callable[[Any], Any], *, turns: int, conversations: int) -> float:
    """Milliseconds of CPU time of this process."""
    ask(log(OPENING))  # connects
    began = time.process_time()
    for _ in range(conversations):
        messages = log(OPENING)
        for _ in range(turns):
            ask(messages)
            messages.append(ANSWER["choices"][0]["message"])
            messages.append(SHOWN)
    return (time.process_time() - began) / conversations / turns * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=30, help="calls of a conversation")
    parser.add_argument("--conversations", type=int, default=20, help="how often it is held")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()

    with server() as url:
        ours = ChatClient(base_url=url, api_key="none")
        sdk = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        plain = httpx2.Client(base_url=url)
        control = CancellationToken()

        def ask_ours(messages: Any) -> object:
            return ours.complete(
                model="m", messages=messages, tools=[TOOL], sampling={"temperature": 0.5}, control=control
            )

        def ask_sdk(messages: Any) -> object:
            return sdk.chat.completions.create(model="m", messages=messages, tools=[TOOL], temperature=0.5)

        def ask_plain(messages: Any) -> object:
            body = {"model": "m", "messages": messages, "tools": [TOOL], "temperature": 0.5}
            headers = {"Content-Type": "application/json"}
            return plain.post("/chat/completions", content=json.dumps(body).encode(), headers=headers).json()

        size = {"turns": options.turns, "conversations": options.conversations}
        value = cpu_per_call(ask_ours, MessageLog, **size)
        for reference, ask in (("openai SDK", ask_sdk), ("json.dumps, httpx2", ask_plain)):
            floor = cpu_per_call(ask, list, **size)
            show(
                Figure(f"a call of {options.turns} turns, CPU", value, "ms", reference, floor),
                as_json=options.json,
            )


if __name__ == "__main__":
    main()
