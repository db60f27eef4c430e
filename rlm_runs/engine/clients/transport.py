"""Calls to one server over pooled connections, each of which another thread can abort at any time.

A call needs no thread of its own. Idle connections form a stack, so a call costs the same with one connection or a
thousand.
"""

from __future__ import annotations

import http.client
import time
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore

from ..cancellation import CancellationToken
from .connection import Abort, Connection, Route

_KEPT_SECONDS = 15.0
"""Seconds for which an idle connection is kept."""
_LOOK_AT_CONTROL = 0.2
"""Seconds between two checks of the stop flag while all connections are in use."""
_PIECE = 65536


class TransportError(Exception):
    """A call failed in transport. `sent` says whether the server may have received the request."""

    def __init__(self, message: str, *, sent: bool, timed_out: bool) -> None:
        super().__init__(message)
        self.sent = sent
        self.timed_out = timed_out


class Aborted(Exception):
    """A call was aborted. `sent` says whether the server may have received the request."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__("the call was aborted")
        self.sent = sent


class Answer:
    """A response, valid inside the block of its call. The names of `headers` are in lower case."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        # Compression is not requested, but some proxies compress anyway. 47: gzip or zlib, by the header.
        compressed = self.headers.get("content-encoding", "").lower() in ("gzip", "deflate")
        self._unpacked = zlib.decompressobj(47).decompress if compressed else bytes

    def read(self) -> bytes:
        """Returns the whole body."""
        return self._unpacked(self._response.read())

    def pieces(self) -> Iterator[bytes]:
        """Yields the body as it arrives."""
        while piece := self._response.read1(_PIECE):
            yield self._unpacked(piece)
        self._response.read()  # raises IncompleteRead if something is missing

    @property
    def is_stream(self) -> bool:
        """Whether the body is an event stream."""
        return self.status == 200 and self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def is_complete(self) -> bool:
        """Whether the body was read to an end that the server marked."""
        return self._response.isclosed() and not self._response.will_close


class Transport:
    """A pool of at most `connections` to one server. `timeout` is the longest silence in seconds. Thread-safe."""

    def __init__(self, base_url: str, *, timeout: float, connections: int) -> None:
        self._route = Route(base_url)
        self._timeout = timeout
        self._places = BoundedSemaphore(connections)
        self._idle: deque[tuple[float, Connection]] = deque()
        self.server = f"{self._route.host}:{self._route.port}"

    @contextmanager
    def post(
        self,
        path: str,
        body: Sequence[bytes | bytearray],
        *,
        headers: Mapping[str, str],
        control: CancellationToken,
    ) -> Iterator[Answer]:
        """Sends a request, with the parts of its body one after the other, and yields the response.

        Raises TransportError, also if reading fails inside the block; Aborted as soon as `control` aborts calls;
        and Stopped if it is stopped while no connection is free.
        """
        while not self._places.acquire(timeout=_LOOK_AT_CONTROL):
            control.check()
        connection = self._idle_connection() or Connection(self._route, timeout=self._timeout)
        abort, sent, keep = Abort(), False, False
        try:
            with control.on_abort(abort.now):
                connection.abort = abort
                if connection.sock is None:
                    connection.connect()
                abort.covers(connection.sock)
                sent = True
                connection.post(path, body, headers=headers)
                answer = Answer(connection.getresponse())
                yield answer
                keep = answer.is_complete
                if not keep:
                    abort.check()
        except Exception as error:
            if abort.happened:
                raise Aborted(sent=sent) from error
            if isinstance(error, OSError | http.client.HTTPException | zlib.error):
                words = str(error) or type(error).__name__
                raise TransportError(words, sent=sent, timed_out=isinstance(error, TimeoutError)) from error
            raise
        finally:
            abort.forget()
            if keep and not abort.happened:
                self._idle.append((time.monotonic(), connection))
            else:
                connection.close()
            self._places.release()

    def close(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            self._idle.pop()[1].close()

    def _idle_connection(self) -> Connection | None:
        """Returns the most recently used idle connection that is still open; None without one."""
        while True:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < _KEPT_SECONDS and connection.is_usable():
                return connection
            connection.close()
