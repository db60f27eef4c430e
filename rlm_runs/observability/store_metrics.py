"""Metrics of the store, computed from the database when the web server's /metrics is scraped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .store_totals import StoreTotals, Sums, store_totals

_MOST_MODELS = 100
"""The maximum number of models with their own label, because imported files may name any number."""
_LONGEST_LABEL = 100


class StoreCollector(Collector):
    """A collector of gauges, not counters, because deleting an experiment lowers them. Workers have counters for
    rates.
    """

    def describe(self) -> Iterable[Metric]:
        """Returns nothing, because registering the collector must not query the database."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yields all metrics. Raises DatabaseError."""
        totals = store_totals()
        yield _labelled(
            "rlm_queue_depth",
            "Rollouts that wait for a worker, by the priority of their experiment.",
            ["priority"],
            _single({str(priority): n for priority, n in totals.queued.items()} or {"0": 0}),
        )
        yield _gauge("rlm_queue_paused", "Queued rollouts of paused experiments.", totals.paused)
        yield _labelled("rlm_rollouts", "Rollouts by status.", ["status"], _single(totals.rollouts))
        yield _labelled(
            "rlm_rollout_failures",
            "Failed rollouts by the boundary of the error.",
            ["boundary"],
            _single({boundary or "none": n for boundary, n in totals.failures.items()}),
        )
        yield from _spent(_with_few_models(totals.sums))
        yield _gauge("rlm_workers_alive", "Worker processes with a recent heartbeat.", totals.workers_alive)
        yield from _database(totals)


def _spent(sums: Sums) -> Iterable[Metric]:
    """Yields sums over all rollouts. Those of `last_attempt` exclude earlier attempts and judges."""
    for name, quantity, labels, documentation in (
        ("rlm_model_calls", "calls", ["model", "role"], "Model calls of the last attempts."),
        ("rlm_tokens", "tokens", ["model", "role", "kind"], "Tokens of the last attempts."),
        ("rlm_cost_dollars", "cost", ["model", "part"], "Known cost, by the root's model."),
        ("rlm_unpriced_rollouts", "unpriced", ["model"], "Ended rollouts of unknown cost, by the root's model."),
        ("rlm_cells", "cells", ["model"], "REPL cells of the last attempts, by the root's model."),
    ):
        values = {key[1:]: value for key, value in sums.items() if key[0] == quantity}
        yield _labelled(name, documentation, labels, values)


def _database(totals: StoreTotals) -> Iterable[Metric]:
    yield _labelled(
        "rlm_database_connections",
        "Connections to the database, of all processes.",
        ["state"],
        _single(totals.connections),
    )
    yield _gauge("rlm_database_connection_limit", "max_connections of Postgres.", totals.connection_limit)


def _with_few_models(sums: Sums) -> Sums:
    """Returns the sums, with the least used models combined under the label `other`."""
    weight: Counter[str] = Counter()
    for key, value in sums.items():
        weight[key[1]] += value
    named = {model for model, _ in weight.most_common(_MOST_MODELS)}
    result = Sums()
    for (quantity, model, *rest), value in sums.items():
        result[quantity, model[:_LONGEST_LABEL] if model in named else "other", *rest] += value
    return result


def _single(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(label,): value for label, value in values.items()}


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def _labelled(name: str, documentation: str, labels: list[str], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(list(key), value)
    return family


REGISTRY = CollectorRegistry()
REGISTRY.register(StoreCollector())
