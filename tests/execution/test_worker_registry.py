"""A worker process has one row that says whether it is alive."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from rlm_runs.execution import worker_registry
from rlm_runs.models import WorkerProcess

pytestmark = pytest.mark.django_db


def register(**changes):
    worker_registry.register(**{"capacity": {"concurrency": 8}, "sandbox_backend": "docker"} | changes)
    return WorkerProcess.objects.get(name=worker_registry.process_name())


def age(seconds):
    WorkerProcess.objects.update(last_seen_at=F("last_seen_at") - timedelta(seconds=seconds))


def test_registering_writes_what_the_process_is():
    row = register(code_version="3f2a")
    assert (row.name, row.host, row.pid) == (
        f"{socket.gethostname()}:{os.getpid()}",
        socket.gethostname(),
        os.getpid(),
    )
    assert (row.capacity, row.running, row.sandbox_backend) == ({"concurrency": 8}, 0, "docker")
    assert row.versions["rlm_runs"] == "3f2a"
    assert row.stopped_at is None
    assert list(worker_registry.alive()) == [row]


def test_registering_again_replaces_the_row():
    first = register()
    worker_registry.heartbeat(running=5)
    worker_registry.unregister()
    second = register(capacity={"concurrency": 2})
    assert WorkerProcess.objects.count() == 1
    assert (second.capacity, second.running, second.stopped_at) == ({"concurrency": 2}, 0, None)
    assert second.started_at > first.started_at


def test_a_heartbeat_says_what_runs_and_renews():
    register(sandbox_backend="")
    age(1000)
    assert not worker_registry.alive().exists()
    assert worker_registry.heartbeat(running=3, sandbox_backend="process")
    row = worker_registry.alive().get()
    assert (row.running, row.sandbox_backend) == (3, "process")
    worker_registry.heartbeat(running=2)
    assert worker_registry.alive().get().sandbox_backend == "process"


def test_a_heartbeat_without_a_row_is_reported():
    assert not worker_registry.heartbeat(running=1)


def test_one_query_per_heartbeat(django_assert_num_queries):
    register()
    with django_assert_num_queries(1):
        worker_registry.heartbeat(running=1)


def test_a_process_is_dead_after_a_lease_without_a_heartbeat(settings):
    settings.RLM_LEASE_SECONDS = 30
    row = register()
    age(25)
    assert list(worker_registry.alive()) == [row]
    assert not WorkerProcess.objects.dead().exists()
    age(10)
    assert not worker_registry.alive().exists()
    assert list(WorkerProcess.objects.dead()) == [row]


def test_a_stopped_process_is_dead():
    register()
    worker_registry.heartbeat(running=4)
    worker_registry.unregister()
    row = WorkerProcess.objects.dead().get()
    assert row.running == 0
    assert row.stopped_at is not None
    assert not worker_registry.alive().exists()


def test_rows_of_processes_that_died_long_ago_are_deleted():
    now = timezone.now()
    for hours in (1, 30):
        seen = now - timedelta(hours=hours)
        WorkerProcess.objects.create(name=f"h:{hours}", host="h", pid=hours, started_at=seen, last_seen_at=seen)
    register()
    assert set(WorkerProcess.objects.values_list("name", flat=True)) == {"h:1", worker_registry.process_name()}
