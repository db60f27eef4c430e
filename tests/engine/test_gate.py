"""Gates bound concurrency, end waits of stopped rollouts, and learn how calls went."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.chat import ChatClient, RetryPolicy
from rlm_runs.engine.clients.gate import Gate
from rlm_runs.engine.clients.request_shape import RequestShape
from rlm_runs.engine.errors import ModelFailure, Stopped
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


def test_who_was_stopped_waits_no_longer():
    gate, control = Gate(concurrency=1), CancellationToken()
    with gate.passed(CancellationToken()):
        timer = threading.Timer(0.2, control.stop, args=["cancelled"])
        timer.start()
        began = time.monotonic()
        with pytest.raises(Stopped), gate.passed(control):
            pass
        assert time.monotonic() - began < 5
        timer.join()


class Away:
    """A gate that counts reports and holds calls back until it has enough."""

    def __init__(self, tries):
        self.tries, self.outcomes = tries, []

    @contextmanager
    def passed(self, control, *, tokens=0):
        assert tokens > 0
        yield self.outcomes.append

    def fails_since(self, moment):
        return len(self.outcomes) < self.tries


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_an_endpoint_that_is_away_is_waited_for(status):
    replies = [Reply(status, error_body("broken"))] * 4 + [completion("4")]
    gate = Away(10)
    with ScriptedServer(lambda _: replies.pop(0)) as server:
        client = ChatClient(
            base_url=server.url, api_key="", gates=[gate], retry=RetryPolicy(tries=2, first_wait=0.001)
        )
        answer = ask(client)
        client.close()
    assert (answer.content, answer.retries) == ("4", 4)
    assert [outcome.fault for outcome in gate.outcomes] == [f"HTTP {status}: broken"] * 4 + [""]
    assert gate.outcomes[-1].usage == answer.usage


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (500, 2), (429, 2), (400, 1)])
def test_a_failure_of_one_call_is_not_waited_for(status, tries):
    gate = Away(0 if status != 400 else 10)
    with ScriptedServer(lambda _: Reply(status, error_body("no"))) as server:
        client = ChatClient(
            base_url=server.url, api_key="", gates=[gate], retry=RetryPolicy(tries=2, first_wait=0.001)
        )
        with pytest.raises(ModelFailure, match=f"HTTP {status}"):
            ask(client)
        client.close()
    assert len(gate.outcomes) == tries
    assert bool(gate.outcomes[0].fault) == (status not in (400, 429))


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
