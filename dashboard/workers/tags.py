"""Template tags of the Workers page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .. import formatting
from ..tables import cells
from .overview import RunningRollout, State, Worker

register = template.Library()

_STATES = {
    State.ALIVE: ("running", "alive", "A heartbeat arrived within the lease."),
    State.STOPPED: ("queued", "stopped", "The process shut down in order."),
    State.LOST: ("failed", "lost", "No heartbeat arrives. Its rollouts are queued again when their leases end."),
    State.UNKNOWN: ("failed", "unknown", "Rollouts name this process, but it has sent no heartbeat."),
}
_SHORT_VERSION = 10
"""The number of digits of a commit in the table."""


@register.simple_tag
def worker_state(worker: Worker) -> SafeString:
    """Returns the state of a worker, with an explanation as a tooltip."""
    kind, label, title = _STATES[worker.state]
    return format_html('<span class="status {}" title="{}">{}</span>', kind, title, label)


@register.simple_tag
def version_of(worker: Worker, ours: str) -> SafeString | str:
    """Returns the version of a worker's code, marked if it differs from that of the web server."""
    version = str(worker.process.versions.get("rlm_runs", "")) if worker.process else ""
    if not version:
        return formatting.DASH
    shown = format_html('<code title="{}">{}</code>', version, version[:_SHORT_VERSION])
    if version == ours or not worker.is_alive:
        return shown
    title = f"The web server runs {ours}. Restart the worker, or the web server."
    return format_html('{} <span class="notice-word" title="{}">differs</span>', shown, title)


@register.filter
def limits(capacity: Mapping[str, Any]) -> SafeString | str:
    """Returns the limits of a worker in one line: `concurrency 100 · containers 40`."""
    pairs = ((cells.plain(str(key)).replace("_", " "), cells.plain(str(value))) for key, value in capacity.items())
    return format_html_join(" · ", '<span class="nowrap">{} {}</span>', pairs) or formatting.DASH


@register.simple_tag
def rollout_age(rollout: RunningRollout, now: datetime) -> SafeString | str:
    """Returns the running time of a rollout, with its start as a tooltip.

    Times are truncated to 10 seconds, and to minutes from one minute on, so that most updates do not change the
    table.
    """
    age = rollout.age(now)
    if age is None or rollout.started_at is None:
        return "starting"
    age -= age % (10 if age < 60 else 60)
    return format_html(
        '<time datetime="{}" title="since {} UTC">{}</time>',
        *(
            rollout.started_at.isoformat(),
            f"{rollout.started_at:%Y-%m-%d %H:%M:%S}",
            formatting.duration(age) if age else "< 10 s",
        ),
    )
