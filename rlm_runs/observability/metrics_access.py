"""Access to metrics: holders of RLM_METRICS_TOKEN or, if none is set, clients on the same machine."""

from __future__ import annotations

import ipaddress
from hmac import compare_digest


def may_read_metrics(*, authorization: str, peer: str, is_forwarded: bool, token: str) -> bool:
    """Returns whether a request may read metrics.

    `authorization` is the Authorization header, `peer` is the address of the connection, and `is_forwarded` says
    whether a proxy passed the request on, in which case a loopback peer is the proxy and not the client. An empty
    `token` means none.
    """
    if token:
        return compare_digest(authorization.encode(), f"Bearer {token}".encode())
    return not is_forwarded and _is_loopback(peer)


def _is_loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return peer == ""  # a Unix socket
