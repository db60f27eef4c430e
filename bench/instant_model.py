"""A model server that returns a fixed text without delay. Benchmarks then measure everything but the model.

    python -m bench.instant_model --port-file FILE

Every conversation gets the same ten cells in turn: the second calls sixteen sub-LLMs, the last submits. A
conversation without tools is a sub-LLM, which gets one word.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SUB_CALLS = 16
CELLS = (
    "x = 1\nx + 1",
    f"answers = llm_batch(['how many are there?'] * {SUB_CALLS})\nlen(answers)",
    *("x = 1\nx + 1" for _ in range(7)),
    'answer["content"] = "two"; answer["ready"] = True',
)
"""The cells of a rollout."""


@contextmanager
def instant_model(folder: Path) -> Iterator[None]:
    """Runs the server in a separate process, at the address that the settings read."""
    port_file = folder / "instant-port"
    server = subprocess.Popen([sys.executable, "-m", "bench.instant_model", "--port-file", str(port_file)])
    try:
        while not port_file.exists() or not port_file.read_text():
            time.sleep(0.05)
        os.environ["OPENAI_BASE_URL"] = f"http://127.0.0.1:{port_file.read_text()}/v1"
        os.environ["OPENAI_API_KEY"] = "none"
        yield
    finally:
        server.kill()
        server.wait()


def _completion(request: Mapping[str, Any]) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": "two"}
    if request.get("tools"):
        turn = sum(one["role"] == "assistant" for one in request["messages"])
        code = json.dumps({"code": CELLS[min(turn, len(CELLS) - 1)]})
        call = {"name": request["tools"][0]["function"]["name"], "arguments": code}
        message |= {"content": "", "tool_calls": [{"id": f"call_{turn}", "type": "function", "function": call}]}
    choice = {"index": 0, "finish_reason": "tool_calls" if "tool_calls" in message else "stop", "message": message}
    usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "instant", "usage": usage}
    return json.dumps({**body, "choices": [choice]}).encode()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
            payload = _completion(json.loads(await reader.readexactly(length))) if length else b"{}"
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                + f"Content-Length: {len(payload)}\r\n\r\n".encode()
                + payload
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _run(port_file: Path) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, limit=2**24, backlog=512)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port-file", type=Path, required=True)
    asyncio.run(_run(parser.parse_args().port_file))
