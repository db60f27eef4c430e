"""Metrics of one worker process: counters of model calls, executions and rollouts, and gauges of its resources.

A worker observes the engine's events (`RolloutMetrics`), names the functions that read its gauges (`watch`) and
serves the result (`metrics_exporter`). docs/operations.md lists the metrics.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from django.db import connection
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..engine import events

# Otherwise each counter has a second series, which nothing reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
"""Metrics of this process. Pages have a separate registry."""

_CALL_SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)

_CALLS = Counter(
    "rlm_worker_model_calls",
    "Model calls that ended.",
    ["endpoint", "model", "kind", "outcome"],
    registry=REGISTRY,
)
_SECONDS = Histogram(
    "rlm_worker_model_call_seconds",
    "Time of a model call without failed tries.",
    ["endpoint"],
    buckets=_CALL_SECONDS,
    registry=REGISTRY,
)
_RETRIES = Counter("rlm_worker_model_retries", "Failed tries of model calls.", ["endpoint"], registry=REGISTRY)
_RETRY_SECONDS = Counter(
    "rlm_worker_model_retry_seconds", "Time in failed tries and waits.", ["endpoint"], registry=REGISTRY
)
_TOKENS = Counter(
    "rlm_worker_tokens",
    "Tokens as the endpoint counts them; cached and reasoning are parts of prompt and completion.",
    ["endpoint", "model", "kind"],
    registry=REGISTRY,
)
_COST = Counter(
    "rlm_worker_cost_dollars", "Cost of calls that have a price.", ["endpoint", "model"], registry=REGISTRY
)
_UNPRICED = Counter(
    "rlm_worker_unpriced_calls", "Calls of unknown cost.", ["endpoint", "model"], registry=REGISTRY
)
_EXECUTIONS = Counter(
    "rlm_worker_executions", "Cells and tool calls that ended.", ["kind", "outcome"], registry=REGISTRY
)
_ROLLOUTS = Counter(
    "rlm_worker_rollouts_ended",
    "Attempts that ended, by the boundary of their error.",
    ["boundary"],
    registry=REGISTRY,
)


@dataclass
class RolloutMetrics:
    """The counters of one attempt's events. `endpoints` maps the models of the rollout to their endpoints' names.

    One thread at a time calls it with the recorded events, in order.
    """

    endpoints: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._trajectories: dict[int, tuple[str, str]] = {}
        self._executions: dict[int, str] = {}

    def observe(self, recorded: Iterable[events.Event]) -> None:
        """Counts events that were recorded."""
        for event in recorded:
            self._observe(event)

    def _observe(self, event: events.Event) -> None:
        match event:
            case events.TrajectoryStarted():
                self._trajectories[event.key] = (event.model, event.kind)
            case events.TurnEnded():
                self._observe_call(event)
            case events.ExecutionStarted():
                self._executions[event.key] = event.kind
            case events.ExecutionEnded():
                outcome = "timed_out" if event.timed_out else "error" if event.error_type else "ok"
                _EXECUTIONS.labels(self._executions.pop(event.key, "cell"), outcome).inc()
            case events.RolloutEnded():
                _ROLLOUTS.labels(event.boundary or "none").inc()

    def _observe_call(self, turn: events.TurnEnded) -> None:
        model, kind = self._trajectories.get(turn.trajectory, ("", "root"))
        endpoint = self.endpoints.get(model, "")
        _CALLS.labels(endpoint, model, kind, "error" if turn.error else "ok").inc()
        _SECONDS.labels(endpoint).observe(max(0.0, turn.seconds - turn.retry_seconds))
        if turn.retries:
            _RETRIES.labels(endpoint).inc(turn.retries)
            _RETRY_SECONDS.labels(endpoint).inc(turn.retry_seconds)
        for part in ("prompt", "cached", "completion", "reasoning"):
            if tokens := getattr(turn.usage, part):
                _TOKENS.labels(endpoint, model, part).inc(tokens)
        if turn.cost is None:
            _UNPRICED.labels(endpoint, model).inc()
        else:
            _COST.labels(endpoint, model).inc(float(turn.cost))


Sizes = Callable[[], Mapping[str, int]]


def watch(*, rollouts: Sizes | None = None, sandboxes: Sizes | None = None) -> None:
    """Sets the functions that read the gauges of this process at each scrape.

    `rollouts` returns counts by state such as {"running": 90, "capacity": 100}, `sandboxes` such as {"warm": 2,
    "open": 40}. None leaves a gauge unchanged.
    """
    if rollouts is not None:
        _GAUGES.rollouts = rollouts
    if sandboxes is not None:
        _GAUGES.sandboxes = sandboxes


class _Gauges(Collector):
    """Gauges that are read at each scrape."""

    rollouts: Sizes = staticmethod(dict)
    sandboxes: Sizes = staticmethod(dict)

    def collect(self) -> Iterable[Metric]:
        yield _by_state("rlm_worker_rollouts", "Rollouts of this process.", self.rollouts())
        yield _by_state("rlm_worker_sandboxes", "Sandboxes of this process.", self.sandboxes())
        yield _by_state("rlm_worker_database_connections", "Pooled connections to Postgres.", _connections())
        yield GaugeMetricFamily("rlm_worker_threads", "Threads of this process.", threading.active_count())


def _by_state(name: str, documentation: str, sizes: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=["state"])
    for state, size in sizes.items():
        family.add_metric([state], size)
    return family


def _connections() -> Mapping[str, int]:
    """Returns the connections of this process by state: in use, idle, and threads that wait for one."""
    pool = getattr(connection, "pool", None)
    if pool is None:
        return {}
    stats = pool.get_stats()
    size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
    return {"in_use": size - idle, "idle": idle, "waiting": stats.get("requests_waiting", 0)}


_GAUGES = _Gauges()
REGISTRY.register(_GAUGES)
ProcessCollector(registry=REGISTRY)
