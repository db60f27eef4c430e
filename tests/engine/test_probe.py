"""What a probe finds out about servers that support more or less."""

from __future__ import annotations

from contextlib import closing

import pytest

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.chat import ChatClient, RetryPolicy
from rlm_runs.engine.errors import Stopped
from rlm_runs.engine.probe import Unreachable, check, find_window, probe, tokens_of_search
from tests.scripted_server import Reply, ScriptedServer, completion, error_body

WINDOW = 10_000
TOO_LONG = Reply(400, error_body("This model's maximum context length is 10000 tokens."))


def size_of(request):
    """Tokens of the prompts that the probe writes: one per word."""
    return len(str(request["messages"][-1]["content"]).split())


class Server:
    """A server that supports everything, unless a test takes something away."""

    def __init__(self, **less):
        self.less = less

    def __call__(self, request):
        if size_of(request) > WINDOW:
            return self.less.get("too_long", TOO_LONG)
        if "tools" in request and "refuses_tools" in self.less:
            return Reply(400, error_body("this model does not support tools"))
        if any(message["role"] == "tool" for message in request["messages"]):
            if "refuses_results" in self.less:
                return Reply(400, error_body("roles must alternate"))
            return completion("5 and 9", prompt_tokens_details={"cached_tokens": self.less.get("cached", 1024)})
        calls = self.less.get("calls", [("add", {"a": 2, "b": 3}), ("add", {"a": 4, "b": 5})])
        return completion("", calls=calls, completion_tokens_details={"reasoning_tokens": 64})


def found(**less):
    with ScriptedServer(Server(**less)) as server, client(server) as reached:
        findings = probe(reached, "m", window=WINDOW, control=CancellationToken())
        assert len(server.requests) <= 3 + ("refuses_tools" in less)
    return {finding.name: finding for finding in findings}


def client(server):
    return closing(ChatClient(base_url=server.url, api_key="", retry=RetryPolicy(tries=1), timeout=10))


def verdicts(**less):
    return {name: finding.verdict for name, finding in found(**less).items()}


def test_a_server_that_supports_everything():
    findings = found()
    assert {finding.verdict for finding in findings.values()} == {"yes"}
    assert "1,024 of 1,034 prompt tokens" in findings["caching"].detail
    assert "64 tokens" in findings["reasoning"].detail
    assert "completion_tokens_details.reasoning_tokens" in found()["usage"].detail
    assert "maximum context length is 10000" in findings["too long"].detail


def test_a_server_without_tools():
    findings = found(refuses_tools=True)
    assert findings["tools"].verdict == "no"
    assert "does not support tools" in findings["tools"].detail
    assert (findings["parallel calls"].verdict, findings["caching"].verdict) == ("skipped", "skipped")


def test_a_server_that_does_not_take_the_results_of_tools():
    finding = found(refuses_results=True)["tools"]
    assert finding.verdict == "partly"
    assert "roles must alternate" in finding.detail


@pytest.mark.parametrize(
    ("calls", "tools", "parallel"),
    [
        ([], "unknown", "unknown"),
        ([("add", {"a": 2, "b": 3})], "yes", "no"),
        ([("add", "{not json"), ("add", {"a": 4, "b": 5})], "partly", "yes"),
        ([("sum", {"a": 2})], "partly", "no"),
    ],
)
def test_what_the_model_makes_of_the_tool(calls, tools, parallel):
    found = verdicts(calls=calls)
    assert (found["tools"], found["parallel calls"]) == (tools, parallel)


def test_no_cache():
    assert verdicts(cached=0)["caching"] == "no"


@pytest.mark.parametrize(
    ("reply", "verdict", "words"),
    [
        (Reply(500, "<html>broken</html>"), "partly", "not recognised"),
        (Reply(400, error_body("no")), "partly", "not recognised as too long: HTTP 400: no"),
        (completion("yes", prompt_tokens=2048), "no", "cut without a word: it counted 2,048 of about 13,500"),
        (completion("yes", prompt_tokens=13_500), "no", "its window is larger than 10,000"),
    ],
)
def test_how_a_too_long_prompt_is_refused(reply, verdict, words):
    finding = found(too_long=reply)["too long"]
    assert finding.verdict == verdict
    assert words in finding.detail


def test_without_a_known_window_no_too_long_prompt_is_sent():
    with ScriptedServer(Server()) as server, client(server) as reached:
        findings = probe(reached, "m", window=None, control=CancellationToken())
        assert [finding.verdict for finding in findings if finding.name == "too long"] == ["skipped"]
        assert len(server.requests) == 2


def test_a_server_that_answers_nothing_is_unreachable():
    with ScriptedServer(lambda _: Reply(401, error_body("no such key"))) as server, client(server) as reached:
        for asked in (
            lambda: probe(reached, "m", window=None, control=CancellationToken()),
            lambda: check(reached, "m", tools=True, control=CancellationToken()),
            lambda: find_window(reached, "m", guess=100, control=CancellationToken()),
        ):
            with pytest.raises(Unreachable, match="no such key"):
                asked()


def test_a_check_is_one_call_and_tells_a_missing_tool_from_a_missing_server():
    with ScriptedServer(Server()) as server, client(server) as reached:
        assert check(reached, "m", tools=True, control=CancellationToken()).verdict == "yes"
        assert check(reached, "m", tools=False, control=CancellationToken()).verdict == "yes"
        assert ["tools" in request for request in server.requests] == [True, False]
    with ScriptedServer(Server(refuses_tools=True)) as server, client(server) as reached:
        finding = check(reached, "m", tools=True, control=CancellationToken())
        assert (finding.name, finding.verdict) == ("tools", "no")


def test_a_probe_stops_with_its_flag():
    control = CancellationToken()
    with (
        ScriptedServer(lambda request: (control.stop("interrupted"), Server()(request))[1]) as server,
        client(server) as reached,
    ):
        with pytest.raises(Stopped):
            probe(reached, "m", window=WINDOW, control=control)
        assert len(server.requests) == 1


@pytest.mark.parametrize("guess", [100, 8_192, 10_000, 40_000])
def test_the_window_is_found_from_any_guess(guess):
    taken = []

    def script(request):
        size = size_of(request)
        if size > WINDOW:
            return TOO_LONG
        taken.append(size)
        return completion("yes", prompt_tokens=size)

    with ScriptedServer(script) as server, client(server) as reached:
        window = find_window(reached, "m", guess=guess, control=CancellationToken())
    assert WINDOW * 0.97 <= window <= WINDOW
    if guess >= WINDOW / 2:
        assert sum(taken) <= tokens_of_search(guess)


def test_a_server_that_cuts_prompts_has_the_window_that_it_counts():
    with (
        ScriptedServer(lambda request: completion("yes", prompt_tokens=min(size_of(request), 4096))) as server,
        client(server) as reached,
    ):
        assert find_window(reached, "m", guess=8192, control=CancellationToken()) == 4096
