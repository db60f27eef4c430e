"""Fetches from the public web, and from nowhere else, whatever address a model asks for.

The check happens where the connection is made. A host name is resolved once, all its addresses must be public, and
the connection goes to an address that was checked. This defeats DNS rebinding (a name that resolves differently
the second time) and redirects to internal addresses.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import httpx2

MAX_REDIRECTS = 5
MAX_BYTES = 8 << 20
MAX_SECONDS = 30.0
USER_AGENT = "Mozilla/5.0 (compatible; rlm-runs research)"

Resolve = Callable[[str, int], Sequence[str]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchError(Exception):
    """A page cannot be fetched. The message is for the model."""


@dataclass(frozen=True)
class Fetched:
    """A server's response."""

    url: str
    content_type: str
    charset: str | None
    body: bytes


def system_resolve(host: str, port: int) -> Sequence[str]:
    """Returns all addresses of a host as the system resolves it, including numbers in any notation."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def direct_transport() -> httpx2.BaseTransport:
    """Returns a transport without the environment's proxies and without kept connections, which were checked for
    others.
    """
    return httpx2.HTTPTransport(trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0))


@dataclass(frozen=True)
class Web:
    """Access to the web. Tests replace the way to resolve and to connect; the checks stay."""

    resolve: Resolve = system_resolve
    transport: Callable[[], httpx2.BaseTransport] = field(default=direct_transport)
    max_bytes: int = MAX_BYTES
    max_seconds: float = MAX_SECONDS

    def fetch(self, url: str) -> Fetched:
        """Returns the response, cut off at `max_bytes`. Raises FetchError."""
        deadline = time.monotonic() + self.max_seconds
        try:
            with (
                httpx2.Client(
                    transport=PublicTransport(self.transport(), resolve=self.resolve),
                    follow_redirects=True,
                    max_redirects=MAX_REDIRECTS,
                    timeout=self.max_seconds / 2,
                    trust_env=False,
                    headers={"User-Agent": USER_AGENT},
                ) as client,
                client.stream("GET", url) as response,
            ):
                if response.status_code >= 400:
                    raise FetchError(f"the server answered {response.status_code} {response.reason_phrase}")
                return Fetched(
                    url=str(response.url),
                    content_type=response.headers.get("content-type", "").partition(";")[0].strip().lower(),
                    charset=response.charset_encoding,
                    body=b"".join(self._bounded(response.iter_bytes(), deadline=deadline)),
                )
        except httpx2.TooManyRedirects as error:
            raise FetchError(f"more than {MAX_REDIRECTS} redirects") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise FetchError(f"{type(error).__name__}: {error}") from error

    def _bounded(self, pieces: Iterator[bytes], *, deadline: float) -> Iterator[bytes]:
        left = self.max_bytes
        for piece in pieces:
            if time.monotonic() > deadline:
                raise FetchError(f"it took longer than {self.max_seconds:g} s")
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return


class PublicTransport(httpx2.BaseTransport):
    """A transport that sends each request, including each hop of a redirect, to an address that it has checked
    itself.
    """

    def __init__(self, inner: httpx2.BaseTransport, *, resolve: Resolve) -> None:
        self._inner = inner
        self._resolve = resolve

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request. Raises FetchError if the address is not allowed."""
        url = request.url
        if url.scheme not in ("http", "https"):
            raise FetchError(f"only http and https can be opened, not {url.scheme or 'this'!r}")
        if url.port is not None and not 0 < url.port < 65536:
            raise FetchError(f"there is no port {url.port}")
        addresses = self._checked(url.host, url.port or (443 if url.scheme == "https" else 80))
        for address in addresses[:-1]:
            try:
                return self._inner.handle_request(_to_address(request, address))
            except httpx2.ConnectError:
                continue
        return self._inner.handle_request(_to_address(request, addresses[-1]))

    def close(self) -> None:
        """Closes the connections."""
        self._inner.close()

    def _checked(self, host: str, port: int) -> list[str]:
        """Returns at most three addresses of a host. Raises FetchError if any of its addresses is not public."""
        try:
            addresses = list(self._resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise FetchError(f"the host {host!r} is not known") from error
        if not addresses:
            raise FetchError(f"the host {host!r} has no address")
        if not all(is_public(address) for address in addresses):
            raise FetchError(f"the host {host!r} is not on the public web")
        return addresses[:3]


def is_public(address: str) -> bool:
    """Returns whether the address is on the public internet. An embedded address decides for the one that embeds
    it.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
        if ip.is_site_local or ip.scope_id:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _to_address(request: httpx2.Request, address: str) -> httpx2.Request:
    """Returns the request aimed at this address. The Host header and the certificate check keep the host's
    name.
    """
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )
