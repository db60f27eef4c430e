"""The CPU time of a worker for a model call: conversations of thirty turns with a server that answers at once.

    python -m bench.model_calls [--turns 30] [--conversations 20] [--json]

A turn adds about 7 kB, so the last request has 220 kB. The references are OpenAI's own client, and `json.dumps`
with httpx2; both send and read the same. A streamed answer arrives in 200 pieces; its references read it as well.
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
    """Yields the base URL of a server in a separate process, so that its CPU time is not counted."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    process = multiprocessing.get_context("fork").Process(target=_serve, args=[listener], daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        process.terminate()
        listener.close()


def _response(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _streamed() -> bytes:
    """Returns the answer in pieces, as a server sends it."""
    (choice,) = ANSWER["choices"]
    message = choice["message"]
    content = message["content"]
    size = len(content) // 150
    deltas: list[dict[str, Any]] = [
        {"content": content[start : start + size]} for start in range(0, len(content), size)
    ]
    arguments = CALL["function"]["arguments"]
    deltas.append({"tool_calls": [{**CALL, "index": 0, "function": {**CALL["function"], "arguments": ""}}]})
    step = len(arguments) // 50
    deltas += [
        {"tool_calls": [{"index": 0, "function": {"arguments": arguments[start : start + step]}}]}
        for start in range(0, len(arguments), step)
    ]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    chunks.append({**head, "choices": [], "usage": ANSWER["usage"]})
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def _serve(listener: socket.socket) -> None:
    whole = _response("application/json", json.dumps(ANSWER).encode())
    streamed = _response("text/event-stream", _streamed())

    def converse(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while stream.readline():
            length = 0
            while (line := stream.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = stream.read(length)
            connection.sendall(streamed if b'"stream"' in body else whole)

    while True:
        threading.Thread(target=converse, args=[listener.accept()[0]], daemon=True).start()


def cpu_per_call(ask: Ask, log: Callable[[Any], Any], *, turns: int, conversations: int) -> float:
    """Returns the milliseconds of CPU time of this process per call."""
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
    parser.add_argument("--conversations", type=int, default=20, help="number of conversations")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()

    with server() as url:
        ours = ChatClient(base_url=url, api_key="none")
        sdk = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        plain = httpx2.Client(base_url=url, headers={"Content-Type": "application/json"})
        control = CancellationToken()

        def ask_ours(messages: Any, **more: Any) -> object:
            sampling = {"temperature": 0.5} | more
            return ours.complete(model="m", messages=messages, tools=[TOOL], sampling=sampling, control=control)

        def ask_sdk(messages: Any) -> object:
            return sdk.chat.completions.create(model="m", messages=messages, tools=[TOOL], temperature=0.5)

        def ask_plain(messages: Any) -> object:
            return plain.post("/chat/completions", content=json.dumps(_request(messages)).encode()).json()

        def stream_ours(messages: Any) -> object:
            return ask_ours(messages, stream=True)

        def stream_sdk(messages: Any) -> object:
            request = _request(messages) | {"stream_options": {"include_usage": True}}
            return list(sdk.chat.completions.create(**request, stream=True))

        def stream_plain(messages: Any) -> object:
            content = json.dumps({"stream": True} | _request(messages)).encode()
            with plain.stream("POST", "/chat/completions", content=content) as response:
                lines = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
            return [json.loads(line) for line in lines if line != "[DONE]"]

        size = {"turns": options.turns, "conversations": options.conversations}
        rows: list[tuple[str, Ask, Ask, Ask]] = [
            (f"a call of {options.turns} turns, CPU", ask_ours, ask_sdk, ask_plain),
            ("the same, streamed in 200 pieces", stream_ours, stream_sdk, stream_plain),
        ]
        for name, ask, ask_of_sdk, ask_of_plain in rows:
            value = cpu_per_call(ask, MessageLog, **size)
            for reference, other in (("openai SDK", ask_of_sdk), ("json.dumps, httpx2", ask_of_plain)):
                floor = cpu_per_call(other, list, **size)
                show(Figure(name, value, "ms", reference, floor), as_json=options.json)


def _request(messages: Any) -> dict[str, Any]:
    return {"model": "m", "messages": messages, "tools": [TOOL], "temperature": 0.5}


if __name__ == "__main__":
    main()
