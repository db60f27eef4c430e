"""Gunicorn's logs in the format of all others.

    gunicorn rlm_runs.wsgi --logger-class rlm_runs.observability.web_log.GunicornLogger --access-logfile -

An access record has fields instead of a line.
"""

from __future__ import annotations

import logging.config
import os
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger


class GunicornLogger(Logger):  # type: ignore[misc]
    """A logger that passes gunicorn's records to the handlers of Django's LOGGING."""

    def setup(self, cfg: Any) -> None:
        """Configures logging in the arbiter, before any worker has loaded Django."""
        super().setup(cfg)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlm_runs.settings")
        from django.conf import settings

        logging.config.dictConfig(settings.LOGGING)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Logs one request: method, path, query, status, bytes, seconds and the peer's address."""
        if self.access_log_enabled:
            self.access_log.info("request", extra=access_fields(resp, environ, request_time))


def access_fields(resp: Any, environ: dict[str, Any], request_time: timedelta) -> dict[str, Any]:
    """Returns the fields of an access record."""
    return {
        "method": environ.get("REQUEST_METHOD", ""),
        "path": environ.get("PATH_INFO", ""),
        "query": environ.get("QUERY_STRING", ""),
        "status": int(str(resp.status).split(None, 1)[0]),
        "bytes": getattr(resp, "sent", None),
        "seconds": round(request_time.total_seconds(), 4),
        "peer": environ.get("REMOTE_ADDR", ""),
    }
