"""The HTTP server: POST /v1/chat/completions, GET /v1/models, GET /healthz.

server = DemoServer(DemoOptions(seed=7))
server.start()
… openai.OpenAI(base_url=server.url + "/v1", api_key="demo") …
server.stop()
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from .completion import MODEL, chat_completion
from .conversation import read_conversation
from .errors import (
    ApiError,
    bad_request,
    context_length_exceeded,
    invalid_api_key,
    model_not_found,
    rate_limited,
    server_error,
    unknown_url,
)
from .event_stream import END, chunks, event
from .options import DemoOptions
from .policies import reply_to
from .requests import ChatRequest, parse_request
from .tokens import prompt_tokens

MAX_BODY_BYTES = 64 << 20


@dataclass(frozen=True)
class Answer:
    """A completion that is ready to be sent, and the seconds that the model takes for it."""

    request: ChatRequest
    body: dict[str, Any]
    seconds: float

    def pieces(self) -> Iterator[bytes]:
        """Yields the events of a streamed answer, spread over its seconds."""
        told = list(chunks(self.body, with_usage=self.request.stream_usage))
        for chunk in told:
            time.sleep(self.seconds / len(told))
            yield event(chunk)
        yield END


class DemoServer:
    """A server in its own thread, with a thread per connection."""

    def __init__(self, options: DemoOptions | None = None) -> None:
        self.options = options or DemoOptions()
        self._seen: Counter[str] = Counter()
        self._seen_lock = threading.Lock()
        self._http = _HttpServer((self.options.host, self.options.port), _Handler)
        self._http.demo = self
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port on which it listens, chosen by the system if the options say 0."""
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """The base URL, without the `/v1`."""
        return f"http://{self.options.host}:{self.port}"

    def start(self) -> None:
        """Serves in the background until `stop`."""
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="demo-model")
        self._thread.daemon = True
        self._thread.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def serve_forever(self) -> None:
        """Serves in the calling thread."""
        self._http.serve_forever()

    def stop(self) -> None:
        """Stops listening."""
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._thread = None
        self._http.server_close()

    def answer(self, body: bytes) -> Answer:
        """Returns the answer to a chat completion request. Raises ApiError."""
        request = parse_request(body)
        if request.model != MODEL:
            raise model_not_found(request.model)
        tokens = prompt_tokens(request.messages, tools=request.tools)
        if tokens > self.options.window:
            raise context_length_exceeded(window=self.options.window, tokens=tokens)
        self._fail_perhaps(request)
        seconds = self.options.latency + self.options.jitter * self._draw(request.fingerprint, "latency")
        seed = f"{self.options.seed}|{request.sampling_seed}"
        conversation = read_conversation(request.messages, tools=request.tools, seed=seed)
        return Answer(request, chat_completion(request, reply=reply_to(conversation)), seconds)

    def _fail_perhaps(self, request: ChatRequest) -> None:
        """Raises injected failures, drawn from the request and its number of repetitions, so that a retry may
        succeed.
        """
        key = hashlib.sha256(request.fingerprint.encode("utf-8", "replace")).hexdigest()
        with self._seen_lock:
            self._seen[key] += 1
            times = self._seen[key]
        draw = self._draw(key, str(times))
        if draw < self.options.fail_429:
            raise rate_limited(retry_after=self.options.retry_after)
        if draw < self.options.fail_429 + self.options.fail_500:
            raise server_error()

    def _draw(self, *parts: str) -> float:
        """Returns a number from 0 to 1 that depends only on the seed and the parts."""
        text = "\x00".join([str(self.options.seed), *parts])
        return int(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12], 16) / 16**12


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    # Connections wait here while every thread is busy; the default of 5 refuses a burst of sub-calls.
    request_queue_size = 128
    demo: DemoServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints errors, except for clients that disconnected."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HttpServer

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._send(200, {"status": "ok", "model": MODEL, "simulated": True})
        elif self.path in ("/v1/models", f"/v1/models/{MODEL}"):
            self._answer(self._models)
        else:
            self._send_error(unknown_url(method="GET", path=self.path))

    def do_POST(self) -> None:
        if self.path != "/v1/chat/completions":
            # The body was not read, so the connection cannot be reused.
            self.close_connection = True
            self._send_error(unknown_url(method="POST", path=self.path))
        else:
            self._complete()

    def _complete(self) -> None:
        try:
            body = self._body()
            self._check_key()
            answer = self.server.demo.answer(body)
        except ApiError as error:
            self._send_error(error)
            return
        if answer.request.stream:
            self._stream(answer.pieces())
        else:
            time.sleep(answer.seconds)
            self._send(200, answer.body)

    def _stream(self, pieces: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _answer(self, make: Callable[[], dict[str, Any]]) -> None:
        try:
            body = make()
        except ApiError as error:
            self._send_error(error)
        else:
            self._send(200, body)

    def _models(self) -> dict[str, Any]:
        self._check_key()
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "simulated"}
        return model if self.path.endswith(MODEL) else {"object": "list", "data": [model]}

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            raise bad_request(f"A Content-Length of at most {MAX_BODY_BYTES} bytes is needed.")
        return self.rfile.read(int(length))

    def _check_key(self) -> None:
        key = self.server.demo.options.api_key
        if key is not None and self.headers.get("Authorization") != f"Bearer {key}":
            raise invalid_api_key()

    def _send_error(self, error: ApiError) -> None:
        headers = {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:g}"}
        self._send(error.status, error.body(), headers=headers)

    def _send(self, status: int, body: dict[str, Any], *, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, because the client keeps requests and responses."""
