"""Structured logs: every record of every library passes through one structlog formatter.

A record carries the time in UTC, level, logger and event, the fields of its `extra`, and the context of its
thread: `experiment`, `rollout`, `attempt` and `worker` while a rollout runs. LOG_FORMAT selects lines for people
(`console`) or one JSON object per line (`json`).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING, Any

import structlog
from structlog.typing import EventDict, Processor

if TYPE_CHECKING:
    from ..models import Rollout

FORMATS = ("console", "json")

_QUIET = ("httpx2", "docker", "urllib3", "kombu")
"""Libraries that log each request or connection at INFO or DEBUG."""
_SHARED_LINK = re.compile(r"/s/[\w.-]{40,}")
"""The path of a shared link. Anyone who knows its token can read what it shows."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def logging_config(*, log_format: str, level: str) -> dict[str, Any]:
    """Returns Django's LOGGING: one handler, on standard error, for all loggers.

    `log_format` is one of FORMATS, `level` the name of a level of the standard library.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": {"()": formatter, "log_format": log_format}},
        "handlers": {"standard_error": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["standard_error"], "level": level},
        "loggers": {
            **{name: {"level": "WARNING"} for name in _QUIET},
            # By default, Django gives these two their own handlers.
            "django": {"handlers": [], "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
        },
    }


def formatter(*, log_format: str) -> structlog.stdlib.ProcessorFormatter:
    """Returns the formatter of all handlers, and configures structlog's own loggers to use it as well."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _without_secrets,
            *_renderer(log_format),
        ],
    )


_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def _renderer(log_format: str) -> tuple[Processor, ...]:
    if log_format == "json":
        return (structlog.processors.JSONRenderer(default=str),)
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        # The default formatter shows the values of variables: keys, prompts, model output.
        exception_formatter=structlog.dev.plain_traceback,
    )
    return (_without_control_characters, console)


def _without_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    """Removes tokens of shared links, and the request that Django adds to its records."""
    event.pop("request", None)
    return {
        key: _SHARED_LINK.sub("/s/…", value) if isinstance(value, str) else value for key, value in event.items()
    }


def _without_control_characters(_: Any, __: str, event: EventDict) -> EventDict:
    """Escapes control characters, which could move a terminal's cursor, because errors quote models and
    sandboxes.
    """
    return {key: _CONTROL.sub(_escape, value) if isinstance(value, str) else value for key, value in event.items()}


def _escape(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


@contextmanager
def bound_to(rollout: Rollout) -> Iterator[None]:
    """Adds the ids of a rollout and its attempt to all records in the block, including those of sub-LLM threads.

    Threads of the engine copy the context of the thread that starts them.
    """
    with structlog.contextvars.bound_contextvars(
        experiment=rollout.experiment_id, rollout=rollout.pk, attempt=rollout.attempt, worker=rollout.worker
    ):
        yield


def configure_celery(*, loglevel: int | None, logfile: str | None) -> None:
    """Applies `--loglevel` and `--logfile` of a Celery command to the handlers that Django configured.

    LOG_LEVEL stays the least verbose level, because Celery's own default is WARNING.
    """
    root = logging.getLogger()
    if loglevel and loglevel < root.level:
        root.setLevel(loglevel)
    if logfile:
        handler = WatchedFileHandler(logfile)
        handler.setFormatter(root.handlers[0].formatter)
        root.handlers[:] = [handler]
