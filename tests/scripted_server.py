"""A chat completions server that answers by a script: real HTTP, and nothing of the demo model in it.

with ScriptedServer(lambda request: completion("4")) as server: …

The script is a function of the request body that returns a body, or a `Reply` with status and headers.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
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


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of clients that died."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ScriptedServer:
    """Serves until its block ends. `requests` holds the bodies that came, `authorizations` their headers."""

    def __init__(self, script: Callable[[Body], Body | Reply]) -> None:
        self.requests: list[Body] = []
        self.authorizations: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(request)
                outer.authorizations.append(self.headers.get("Authorization"))
                answer = script(request)
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

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """The base URL, as OPENAI_BASE_URL wants it."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

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
