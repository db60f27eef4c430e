"""A chat completions server over real HTTP that answers by a script.

with ScriptedServer(lambda request: completion("4")) as server: …

The script is a function of the request body. It returns a body; a `Reply` with status and headers; `Held` to
keep the caller waiting; `Streamed` for a stream of events; or bytes, which are sent as they are before the
connection is closed.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
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


@dataclass(frozen=True)
class Streamed:
    """A stream of events. Each of the `pieces` is sent as it is, in its own chunk; a number is a pause in seconds.

    Without an `end` the connection is closed in the middle of the body.
    """

    pieces: Iterable[str | bytes | float]
    end: bool = True


Answer = Body | Reply | Held | Streamed | bytes


class ScriptedServer:
    """Serves until its block ends. `requests` holds the bodies that came, `authorizations` their headers.

    `paths` and `headers` are theirs too. `connections` holds the addresses of those who connected, `disconnects`
    the times (of `time.monotonic`) at which a waiting caller was seen to be gone.
    """

    def __init__(self, script: Callable[[Body], Answer]) -> None:
        self.script = script
        self.requests: list[Body] = []
        self.authorizations: list[str | None] = []
        self.paths: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.disconnects: list[float] = []
        self.connections: list[Any] = []
        self.sockets: list[socket.socket] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.scripted = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)

    @property
    def url(self) -> str:
        """The base URL, as OPENAI_BASE_URL wants it."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def close_connections(self) -> None:
        """Closes the connections that callers keep."""
        for sock in self.sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    scripted: ScriptedServer
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of clients that died."""
        if not isinstance(sys.exception(), ConnectionError | json.JSONDecodeError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.scripted.connections.append(self.client_address)
        self.server.scripted.sockets.append(self.connection)

    def do_POST(self) -> None:
        scripted = self.server.scripted
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        scripted.requests.append(request)
        scripted.authorizations.append(self.headers.get("Authorization"))
        scripted.paths.append(self.path)
        scripted.headers.append(dict(self.headers))
        answer = scripted.script(request)
        if isinstance(answer, Held):
            if self._caller_leaves_within(answer.seconds):
                return
            answer = answer.reply
        if isinstance(answer, bytes):
            self.wfile.write(answer)
            self.close_connection = True
        elif isinstance(answer, Streamed):
            self._stream(answer)
        else:
            self._reply(answer if isinstance(answer, Reply) else Reply(200, answer))

    def _reply(self, reply: Reply) -> None:
        payload = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, answer: Streamed) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in answer.pieces:
            if isinstance(piece, int | float):
                if self._caller_leaves_within(piece):
                    return
            else:
                payload = piece.encode() if isinstance(piece, str) else piece
                self.wfile.write(b"%x\r\n%b\r\n" % (len(payload), payload))
        if answer.end:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = not answer.end

    def _caller_leaves_within(self, seconds: float) -> bool:
        gone = bool(select.select([self.connection], [], [], seconds)[0])
        if gone:
            self.server.scripted.disconnects.append(time.monotonic())
            self.close_connection = True
        return gone

    def log_message(self, format: str, *args: object) -> None:
        pass


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


def event(delta: Mapping[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> str:
    """One event of a stream: a piece of a completion, or none and only what `more` holds."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "scripted", "choices": choices}
    return f"data: {json.dumps(chunk | more)}\n\n"


def cell(code: str) -> dict[str, Any]:
    """A completion that runs a cell of an RLM."""
    return completion(calls=[("call_python_repl", {"code": code})])


def error_body(message: str, *, code: str = "") -> dict[str, Any]:
    """An error as OpenAI's API sends it."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
