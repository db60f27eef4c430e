"""A chat completions server that answers by a script: real HTTP, and nothing of the demo model in it.

with ScriptedServer(lambda request: completion("4")) as server: …

The script is a function of the request body that returns a body, a `Reply` with status and headers, `Held` to
keep the caller waiting, or bytes that are sent as they are before the connection is closed.
"""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """An HTTP response; `body` is sent as it is where it is a string."""

    status: int
    body: Body | str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Held:
    """No answer for so many seconds, then `reply`; the wait ends when the caller is gone."""

    seconds: float
    reply: Reply = Reply(200, {})


class ScriptedServer:
    """Serves until its block ends. `requests` holds the bodies that came, `authorizations` their headers.

    `paths` and `headers` are theirs too. `connections` holds the addresses of those who connected, `disconnects`
    the times (of `time.monotonic`) at which a waiting caller was seen to be gone.
    """

    def __init__(self, script: Callable[[Body], Body | Reply | Held | bytes]) -> None:
        self.requests: list[Body] = []
        self.authorizations: list[str | None] = []
        self.paths: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.disconnects: list[float] = []
        self.connections: list[Any] = []
        self._sockets: list[socket.socket] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.connections.append(self.client_address)
                outer._sockets.append(self.connection)

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(request)
                outer.authorizations.append(self.headers.get("Authorization"))
                outer.paths.append(self.path)
                outer.headers.append(dict(self.headers))
                answer = script(request)
                if isinstance(answer, bytes):
                    self.wfile.write(answer)
                    self.close_connection = True
                    return
                if isinstance(answer, Held):
                    if self.caller_leaves_within(answer.seconds):
                        return
                    answer = answer.reply
                reply = answer if isinstance(answer, Reply) else Reply(200, answer)
                text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
                payload = text.encode()
                self.send_response(reply.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            def caller_leaves_within(self, seconds: float) -> bool:
                gone = bool(select.select([self.connection], [], [], seconds)[0])
                if gone:
                    outer.disconnects.append(time.monotonic())
                    self.close_connection = True
                return gone

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)

    @property
    def url(self) -> str:
        """The base URL, as OPENAI_BASE_URL wants it."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def close_connections(self) -> None:
        """Closes the connections that callers keep."""
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def completion(content: str = "", *, calls: list[tuple[str, Any]] | None = None, **usage: Any) -> dict[str, Any]:
    """A response body. `calls` are (tool, arguments); arguments that are a string are sent as they are."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
                },
            }
            for number, (name, arguments) in enumerate(calls)
        ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": message}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15} | usage,
    }


def cell(code: str) -> dict[str, Any]:
    """A completion that runs a cell of an RLM."""
    return completion(calls=[("call_python_repl", {"code": code})])


def error_body(message: str, *, code: str = "") -> dict[str, Any]:
    """An error as OpenAI's API sends it."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
