"""Gates: how many at once, how many in a minute, and nobody waits who was stopped."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.chat import ChatClient, RetryPolicy
from rlm_runs.engine.clients.gate import Gate
from rlm_runs.engine.clients.request_shape import RequestShape
from rlm_runs.engine.errors import Stopped
from tests.scripted_server import Reply, ScriptedServer, completion, error_body

QUESTION = [{"role": "user", "content": "2 + 2?"}]


def ask(client, control=None):
    return client.complete(model="m", messages=QUESTION, sampling={}, control=control or CancellationToken())


def test_no_more_calls_are_in_flight_than_are_allowed():
    busy, most, lock = [], [], threading.Lock()

    def script(_):
        with lock:
            busy.append(1)
            most.append(len(busy))
        time.sleep(0.03)
        with lock:
            busy.pop()
        return completion("4")

    gate = Gate(concurrency=2)
    with ScriptedServer(script) as server, ThreadPoolExecutor(8) as pool:
        # Two clients of one endpoint, as two models of it are.
        clients = [ChatClient(base_url=server.url, api_key="", gates=[gate]) for _ in range(2)]
        answers = list(pool.map(lambda number: ask(clients[number % 2]), range(10)))
        for client in clients:
            client.close()
    assert max(most) == 2
    assert len(most) == 10
    assert all(answer.retry_seconds <= answer.seconds for answer in answers)
    assert max(answer.retry_seconds for answer in answers) > 0.02  # the wait is told


def test_requests_are_spread_over_the_minute_retries_included():
    replies = [Reply(500, error_body("busy")), completion("4"), completion("4")]
    came = []

    def script(_):
        came.append(time.monotonic())
        return replies.pop(0)

    gate = Gate(per_minute=100)
    with ScriptedServer(script) as server:
        client = ChatClient(
            base_url=server.url, api_key="", gates=[gate], retry=RetryPolicy(tries=2, first_wait=0.001)
        )
        ask(client)
        ask(client)
        client.close()
    assert len(came) == 3
    assert min(second - first for first, second in itertools.pairwise(came)) > 0.2


@pytest.mark.parametrize("gate", [Gate(concurrency=1), Gate(per_minute=0.1)])
def test_who_was_stopped_waits_no_longer(gate):
    control = CancellationToken()
    with gate.passed(CancellationToken()):
        timer = threading.Timer(0.2, control.stop, args=["cancelled"])
        timer.start()
        began = time.monotonic()
        with pytest.raises(Stopped), gate.passed(control):
            pass
        assert time.monotonic() - began < 5
        timer.join()


def test_who_gave_up_leaves_no_place_taken():
    gate = Gate(concurrency=1, per_minute=0.1)
    with gate.passed(CancellationToken()):
        pass
    control = CancellationToken()
    control.stop("cancelled")
    for _ in range(3):
        with pytest.raises(Stopped), gate.passed(control):
            pass


@pytest.mark.parametrize(
    ("shape", "sampling", "sent"),
    [
        (RequestShape(), {"max_tokens": 5, "extra_body": {"a": 1}}, {"max_tokens": 5, "extra_body": {"a": 1}}),
        (RequestShape(), {}, {}),
        (RequestShape({"user": "u"}, {"a": 1}), {}, {"user": "u", "extra_body": {"a": 1}}),
        (RequestShape({"user": "u"}, {"a": 1}), {"user": "v", "extra_body": {"a": 2}},
         {"user": "v", "extra_body": {"a": 2}}),
        (RequestShape(max_tokens_parameter="max_tokens"), {"max_completion_tokens": 5}, {"max_tokens": 5}),
        (RequestShape(max_tokens_parameter="max_tokens"), {"max_tokens": 7, "max_completion_tokens": 5},
         {"max_tokens": 5}),
    ],
)  # fmt: skip
def test_requests_take_the_shape_that_the_server_wants(shape, sampling, sent):
    assert shape.shaped(sampling) == sent
