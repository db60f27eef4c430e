"""A connection to a server, made in steps that another thread can abort: name, socket, tunnel, TLS.

It builds on `http.client` but owns the socket. Shutting the socket down wakes the thread that waits for it, and
tells the server that nobody reads its answer.
"""

from __future__ import annotations

import errno
import http.client
import os
import select
import socket
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from ssl import SSLContext
from threading import Event, Lock
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from ..threads import CallThread

_LONGEST_CONNECT = 30.0
"""Seconds allowed for each of name look-up, socket, tunnel and TLS."""
_LOOK_AT_ABORT = 0.2
"""Seconds between two checks of the abort flag while there is nothing to shut down yet."""


class Abort:
    """A switch that aborts a call from another thread. Thread-safe; it never touches a socket that the call has
    returned.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self.happened = False

    def now(self) -> None:
        """Aborts the call. The thread that waits for its socket continues, and the server sees the
        connection end.
        """
        with self._lock:
            self.happened = True
            self._shut_down()

    def covers(self, sock: socket.socket) -> None:
        """Registers the call's socket. Raises ConnectionAbortedError if the call was aborted before."""
        with self._lock:
            self._socket = sock
            if self.happened:
                self._shut_down()
        self.check()

    def forget(self) -> None:
        """Forgets the socket, because the call is over and the socket may serve another one."""
        with self._lock:
            self._socket = None

    def check(self) -> None:
        """Raises ConnectionAbortedError if the call was aborted."""
        if self.happened:
            raise ConnectionAbortedError("the call was aborted")

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # already closed
                # `SSLSocket.shutdown` would drop the TLS state under the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Route:
    """The route to a server, through a proxy if the environment names one (`HTTPS_PROXY`, `NO_PROXY`, …)."""

    def __init__(self, base_url: str) -> None:
        self._url = urlsplit(base_url)
        self.is_secure = self._url.scheme == "https"
        self.host = self._url.hostname or ""
        self.port = self._url.port or (443 if self.is_secure else 80)

    @cached_property
    def proxy(self) -> SplitResult | None:
        """The proxy's URL, None without one. Raises ValueError if its scheme is not http."""
        proxies = getproxies()
        found = proxies.get(self._url.scheme) or proxies.get("all")
        if not found or proxy_bypass(self.host):
            return None
        proxy = urlsplit(found if "://" in found else f"http://{found}")
        if proxy.scheme != "http":
            raise ValueError(f"a proxy of the kind {proxy.scheme}:// is not supported; use one of http://")
        return proxy

    @property
    def first_hop(self) -> tuple[str, int]:
        """The host and port to connect to."""
        return (self.proxy.hostname or "", self.proxy.port or 80) if self.proxy else (self.host, self.port)

    @cached_property
    def proxy_headers(self) -> dict[str, str]:
        """The headers that log in at the proxy."""
        if self.proxy is None or self.proxy.username is None:
            return {}
        login = f"{unquote(self.proxy.username)}:{unquote(self.proxy.password or '')}"
        return {"Proxy-Authorization": f"Basic {b64encode(login.encode()).decode()}"}

    def target(self, path: str) -> str:
        """Returns the target of a request line: the path, or the whole URL for a proxy of plain HTTP."""
        full = self._url.path.rstrip("/") + path
        return f"http://{self._url.netloc}{full}" if self.proxy and not self.is_secure else full


class Connection(http.client.HTTPConnection):
    """A connection on one route. `abort` is that of the call in progress."""

    abort: Abort
    timeout: float

    def __init__(self, route: Route, *, timeout: float) -> None:
        super().__init__(route.host, route.port, timeout=timeout)
        self._route = route
        self._connect_seconds = min(_LONGEST_CONNECT, timeout)
        if route.proxy and route.is_secure:
            self.set_tunnel(route.host, route.port, headers=route.proxy_headers)

    def connect(self) -> None:
        """Connects. Raises OSError."""
        addresses = _addresses(*self._route.first_hop, abort=self.abort, seconds=self._connect_seconds)
        self.sock = _connected(addresses, abort=self.abort, seconds=self._connect_seconds)
        self.abort.covers(self.sock)
        self.sock.settimeout(self._connect_seconds)
        if self._route.proxy and self._route.is_secure:
            self._tunnel()  # type: ignore[attr-defined]
        if self._route.is_secure:
            # The handshake follows once `abort` covers the new socket.
            secure = _tls().wrap_socket(self.sock, server_hostname=self._route.host, do_handshake_on_connect=False)
            self.sock = secure
            self.abort.covers(secure)
            secure.do_handshake()
        self.sock.settimeout(self.timeout)

    def post(self, path: str, body: Sequence[bytes | bytearray], *, headers: Mapping[str, str]) -> None:
        """Sends a request, with the parts of its body one after the other."""
        self.putrequest("POST", self._route.target(path))
        for_proxy = {} if self._route.is_secure else self._route.proxy_headers
        for name, value in {**headers, **for_proxy}.items():
            self.putheader(name, value)
        self.putheader("Content-Length", str(sum(map(len, body))))
        self.endheaders()
        for part in body:
            self.send(part)

    def is_usable(self) -> bool:
        """Returns whether the connection is open. If an idle connection is readable, its server has closed it."""
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)


def _addresses(host: str, port: int, *, abort: Abort, seconds: float) -> list[Any]:
    """Returns the addresses of a host. A look-up cannot be aborted, so a thread makes it and may be left
    behind.
    """
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # the host is a name
        pass
    done = Event()
    looked_up = CallThread("look-up").submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    looked_up.add_done_callback(lambda _: done.set())
    until = time.monotonic() + seconds
    while not done.wait(_LOOK_AT_ABORT):
        _check_deadline(abort, until=until)
    return looked_up.result()


def _connected(addresses: Sequence[Any], *, abort: Abort, seconds: float) -> socket.socket:
    """Returns a socket connected to the first address that answers."""
    until = time.monotonic() + seconds
    problem = OSError("the name has no address")
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            _finish_connect(sock, sock.connect_ex(address), abort=abort, until=until)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # gateways drop silent connections
        except OSError as error:
            sock.close()
            abort.check()
            problem = error
        else:
            return sock
    raise problem


def _finish_connect(sock: socket.socket, code: int, *, abort: Abort, until: float) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while code == errno.EINPROGRESS:
        if poll.poll(_LOOK_AT_ABORT * 1000):
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        else:
            _check_deadline(abort, until=until)
    if code:
        raise OSError(code, os.strerror(code))


def _check_deadline(abort: Abort, *, until: float) -> None:
    abort.check()
    if time.monotonic() > until:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


@cache
def _tls() -> SSLContext:
    """Returns a context that trusts the system's certificates; SSL_CERT_FILE and SSL_CERT_DIR are honoured."""
    return httpx2.create_ssl_context()
