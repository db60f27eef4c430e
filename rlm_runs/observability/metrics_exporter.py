"""The port on which a worker process serves its metrics, if RLM_METRICS_PORT is set."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.conf import settings
from prometheus_client import make_wsgi_app

from .metrics_access import may_read_metrics
from .worker_metrics import REGISTRY

logger = logging.getLogger(__name__)

PORTS_TRIED = 32
"""The number of ports to try. Worker processes of one machine take the first free port from
RLM_METRICS_PORT on.
"""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, because scrapes are frequent and not news."""


def start_exporter() -> int | None:
    """Serves this process's metrics in a thread. Returns the port, or None if none is configured or free.

    A taken port is logged and nothing is raised, because a worker without metrics is better than none.
    """
    first = settings.RLM_METRICS_PORT
    if not first:
        return None
    for port in range(first, first + PORTS_TRIED):
        try:
            server = make_server(settings.RLM_METRICS_HOST, port, _guarded, _Server, _Handler)
        except OSError:
            continue
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        logger.info("metrics are served", extra={"host": settings.RLM_METRICS_HOST, "port": port})
        return port
    logger.error("metrics are not served: no port is free", extra={"first": first, "tried": PORTS_TRIED})
    return None


_app: Callable[..., Iterable[bytes]] = make_wsgi_app(REGISTRY)


def _guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    allowed = may_read_metrics(
        authorization=environ.get("HTTP_AUTHORIZATION", ""),
        peer=environ.get("REMOTE_ADDR", ""),
        is_forwarded="HTTP_X_FORWARDED_FOR" in environ or "HTTP_FORWARDED" in environ,
        token=settings.RLM_METRICS_TOKEN,
    )
    if allowed:
        return _app(environ, start_response)
    start_response("403 Forbidden", [("Content-Type", "text/plain")])
    return [b"metrics need RLM_METRICS_TOKEN, or a client on this machine\n"]
