"""Limits of endpoints over two worker processes, counted at the server."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

from rlm_runs.execution import control
from tests.scripted_server import Reply, ScriptedServer, completion, error_body

ENDPOINTS = """
[requests]
title = "Requests"
base_url = "{url}"
requests_per_minute = 240
models = [{{ name = "by-requests" }}]

[tokens]
title = "Tokens"
base_url = "{url}"
models = [{{ name = "by-tokens", tokens_per_minute = 18000 }}]

[places]
title = "Places"
base_url = "{url}"
concurrency = 6
models = [{{ name = "by-places" }}]

[plain]
title = "Plain"
base_url = "{url}"
models = [{{ name = "unlimited" }}]
"""
SPEC = """
name = "limits"
examples = {examples}
models = ["{model}"]
scaffolds = ["llm"]
environments = ["verbatim-copy"]
"""


class Counter:
    """Counts calls by model: when each came, and how many were in flight."""

    def __init__(self, seconds):
        self._seconds = seconds
        self._lock = threading.Lock()
        self._busy = defaultdict(int)
        self.came = defaultdict(list)
        self.busy = defaultdict(list)

    def __call__(self, request):
        model = request["model"]
        with self._lock:
            self._busy[model] += 1
            self.came[model].append(time.monotonic())
            self.busy[model].append((time.monotonic(), self._busy[model]))
        time.sleep(self._seconds)
        with self._lock:
            self._busy[model] -= 1
            self.busy[model].append((time.monotonic(), self._busy[model]))
        return completion("x", prompt_tokens=110, completion_tokens=10)

    def most_in_a_minute(self, model):
        came = self.came[model]
        return max(sum(at <= other < at + 60 for other in came) for at in came)

    def mean_in_flight(self, model, *, since, until):
        """Calls in flight on average between two moments."""
        total, last, level = 0.0, since, 0
        for at, busy in self.busy[model]:
            if since <= at <= until:
                total += level * (at - last)
                last = at
            level = busy
        return (total + level * (until - last)) / (until - since)


def start(make_system, server, tmp_path, **variables):
    path = tmp_path / "endpoints.toml"
    path.write_text(ENDPOINTS.format(url=server.url))
    return make_system(RLM_ENDPOINTS_FILE=str(path), **variables)


def test_two_workers_together_use_what_is_allowed_and_no_more(make_system, tmp_path):
    """No sliding minute exceeds a limit. On a busy machine two workers use half of it at least.

    The server counts calls when they arrive. One that waits for a processor arrives later than it was granted, and
    a minute may then hold a few more than were granted in one.
    """
    counter = Counter(0.7)
    with ScriptedServer(counter) as server:
        system = start(make_system, server, tmp_path)
        launched = [
            system.launch(SPEC.format(examples=examples, model=model), "--no-probe")
            for model, examples in (("by-requests", 500), ("by-tokens", 400), ("by-places", 900))
        ]
        system.start_worker(concurrency=90)
        system.start_worker(concurrency=90)
        system.wait_for(lambda: len(counter.came) == 3)
        began = time.monotonic() + 5
        time.sleep(72)
        ended = time.monotonic()
        for experiment in launched:
            assert experiment.rollouts().unfinished().count() > 30
            control.cancel(experiment)
        workers = {worker for e in launched for worker in e.rollouts().values_list("worker", flat=True) if worker}
    assert len(workers) == 2
    assert 0.5 * 240 <= counter.most_in_a_minute("by-requests") <= 1.1 * 240
    assert 0.5 * 150 <= counter.most_in_a_minute("by-tokens") <= 1.1 * 150
    # A call that is cancelled gives its place back before the server notices.
    assert max(busy for at, busy in counter.busy["by-places"] if at <= ended) <= 6
    assert counter.mean_in_flight("by-places", since=began, until=ended) >= 0.5 * 6
    assert system.log("worker").count("Traceback") == 0


def test_retry_after_stops_the_calls_of_all_workers(make_system, tmp_path):
    """Each worker looks four times a second; a second and a half is for a busy machine."""
    lock, came, said = threading.Lock(), [], []

    def script(_):
        with lock:
            came.append(time.monotonic())
            if len(came) == 60:
                said.append(time.monotonic())
                return Reply(429, error_body("slow down"), {"Retry-After": "6"})
        time.sleep(0.3)
        return completion("x")

    with ScriptedServer(script) as server:
        system = start(make_system, server, tmp_path)
        experiment = system.launch(SPEC.format(examples=300, model="unlimited"), "--no-probe")
        system.start_worker(concurrency=8)
        system.start_worker(concurrency=8)
        rollouts = system.wait_until_ended(experiment)
    assert {rollout.status for rollout in rollouts} == {"completed"}
    assert len({rollout.worker for rollout in rollouts}) == 2
    (at,) = said
    assert [round(moment - at, 2) for moment in came if at + 1.5 < moment < at + 5.9] == []
    assert len(came) == 301
