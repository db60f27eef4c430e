"""A worker's counters equal its events; its port needs access."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rlm_runs.engine import events
from rlm_runs.observability import metrics_exporter, worker_metrics
from rlm_runs.observability.metrics_access import may_read_metrics
from rlm_runs.observability.worker_metrics import REGISTRY, RolloutMetrics

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def grown():
    """How much a sample has grown since it was first asked for."""
    before = {}

    def grown(name, **labels):
        key = (name, *sorted(labels.items()))
        now = value(name, **labels)
        return now - before.setdefault(key, now)

    return grown


def turn(trajectory=0, **changes):
    usage = events.Usage(prompt=100, cached=40, completion=10)
    given = {"seconds": 3.0, "usage": usage, "cost": Decimal("0.25"), "retries": 2, "retry_seconds": 1.0}
    return events.TurnEnded(trajectory=trajectory, index=0, at=NOW, **given | changes)


def test_calls_are_counted_by_endpoint_model_kind_and_outcome(grown):
    root = {"endpoint": "here", "model": "big", "kind": "root"}
    names = [
        ("rlm_worker_model_calls_total", {**root, "outcome": "ok"}),
        ("rlm_worker_model_calls_total", {**root, "outcome": "error"}),
        ("rlm_worker_model_calls_total", {"endpoint": "there", "model": "small", "kind": "sub", "outcome": "ok"}),
        ("rlm_worker_tokens_total", {"endpoint": "here", "model": "big", "kind": "prompt"}),
        ("rlm_worker_tokens_total", {"endpoint": "here", "model": "big", "kind": "cached"}),
        ("rlm_worker_cost_dollars_total", {"endpoint": "here", "model": "big"}),
        ("rlm_worker_unpriced_calls_total", {"endpoint": "there", "model": "small"}),
        ("rlm_worker_model_retries_total", {"endpoint": "here"}),
        ("rlm_worker_model_retry_seconds_total", {"endpoint": "here"}),
        ("rlm_worker_model_call_seconds_sum", {"endpoint": "here"}),
        ("rlm_worker_model_call_seconds_bucket", {"endpoint": "here", "le": "2.0"}),
    ]
    for name, labels in names:
        grown(name, **labels)
    metrics = RolloutMetrics()
    metrics.endpoints.update({"big": "here", "small": "there"})
    metrics.observe(
        [
            events.TrajectoryStarted(key=0, at=NOW, kind="root", model="big", opening=()),
            events.TrajectoryStarted(key=1, at=NOW, kind="sub", model="small", opening=()),
            turn(),
            turn(trajectory=1, cost=None, retries=0, retry_seconds=0.0),
            turn(
                error="refused", usage=events.Usage(), cost=Decimal(0), retries=0, retry_seconds=0.0, seconds=1.0
            ),
        ]
    )
    assert [grown(name, **labels) for name, labels in names] == [1, 1, 1, 100, 40, 0.25, 1, 2, 1.0, 3.0, 2]


def test_executions_and_ends_are_counted(grown):
    names = [
        ("rlm_worker_executions_total", {"kind": "cell", "outcome": "ok"}),
        ("rlm_worker_executions_total", {"kind": "tool", "outcome": "error"}),
        ("rlm_worker_executions_total", {"kind": "cell", "outcome": "timed_out"}),
        ("rlm_worker_rollouts_ended_total", {"boundary": "none"}),
        ("rlm_worker_rollouts_ended_total", {"boundary": "model"}),
    ]
    for name, labels in names:
        grown(name, **labels)

    def execution(key, kind, **ended):
        place = {
            "trajectory": 0,
            "turn": 0,
            "position": key,
            "at": NOW,
            "name": "n",
            "call_id": "",
            "arguments": "",
        }
        yield events.ExecutionStarted(key=key, kind=kind, **place)
        yield events.ExecutionEnded(key=key, seconds=1.0, output="", shown="", output_chars=0, **ended)

    metrics = RolloutMetrics()
    metrics.observe(execution(1, "cell"))
    metrics.observe(execution(2, "tool", error_type="KeyError"))
    metrics.observe(execution(3, "cell", error_type="TimeLimit", timed_out=True))
    metrics.observe([events.RolloutEnded(at=NOW, stop_reason="answer_ready", answer="x")])
    metrics.observe([events.RolloutEnded(at=NOW, stop_reason="model_error", answer="", boundary="model")])
    assert [grown(name, **labels) for name, labels in names] == [1, 1, 1, 1, 1]


def test_gauges_are_read_when_scraped(monkeypatch, db):
    for name in ("rollouts", "sandboxes"):
        monkeypatch.setattr(worker_metrics._GAUGES, name, dict, raising=False)
    sizes = {"running": 3, "slots": 8}
    worker_metrics.watch(rollouts=lambda: sizes, sandboxes=lambda: {"open": 5, "warm": 2})
    assert value("rlm_worker_rollouts", state="running") == 3
    sizes["running"] = 4
    assert value("rlm_worker_rollouts", state="running") == 4
    assert value("rlm_worker_sandboxes", state="warm") == 2
    assert value("rlm_worker_threads") >= 1
    assert value("process_resident_memory_bytes") > 1e6


@pytest.mark.parametrize(
    ("authorization", "peer", "is_forwarded", "token", "allowed"),
    [
        ("", "127.0.0.1", False, "", True),
        ("", "::1", False, "", True),
        ("", "", False, "", True),
        ("", "10.0.0.7", False, "", False),
        ("", "127.0.0.1", True, "", False),
        ("Bearer s3cret", "10.0.0.7", True, "s3cret", True),
        ("Bearer wrong", "127.0.0.1", False, "s3cret", False),
        ("s3cret", "127.0.0.1", False, "s3cret", False),
        ("", "127.0.0.1", False, "s3cret", False),
        ("Bearer ü", "127.0.0.1", False, "s3cret", False),
        ("", "nonsense", False, "", False),
    ],
)
def test_who_may_read(authorization, peer, is_forwarded, token, allowed):
    assert (
        may_read_metrics(authorization=authorization, peer=peer, is_forwarded=is_forwarded, token=token) is allowed
    )


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_two_processes_of_a_machine_take_two_ports(settings, port):
    settings.RLM_METRICS_PORT, settings.RLM_METRICS_HOST, settings.RLM_METRICS_TOKEN = port, "127.0.0.1", ""
    first, second = metrics_exporter.start_exporter(), metrics_exporter.start_exporter()
    assert first is not None
    assert second is not None
    assert first != second
    with urllib.request.urlopen(f"http://127.0.0.1:{second}/metrics") as response:
        assert "rlm_worker_model_calls" in response.read().decode()
    settings.RLM_METRICS_TOKEN = "s3cret"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{first}/metrics")
    with refused.value:
        assert refused.value.code == 403


def test_without_a_port_nothing_is_served(settings):
    settings.RLM_METRICS_PORT = 0
    assert metrics_exporter.start_exporter() is None


def test_a_worker_starts_although_no_port_is_free(settings, monkeypatch, caplog):
    def taken(*_):
        raise OSError("in use")

    monkeypatch.setattr(metrics_exporter, "make_server", taken)
    settings.RLM_METRICS_PORT = 9000
    assert metrics_exporter.start_exporter() is None
    assert "no port is free" in caplog.text
