"""What refusals mean, by the wordings of real servers in `refusals.toml` and by others of the same structure."""

from __future__ import annotations

import json
import time
import tomllib
from email.utils import formatdate
from pathlib import Path

import pytest

from rlm_runs.engine.clients.error_reading import (
    Sent,
    TransientFailure,
    decoded,
    failure_inside,
    failure_of,
    is_page,
    no_completion,
    words_of,
)
from rlm_runs.engine.errors import BadCompletion, ModelFailure, PromptTooLong

REFUSALS = tomllib.loads((Path(__file__).parent / "refusals.toml").read_text())


def read(case, **more):
    if case["status"] == 200:
        return failure_inside(decoded(case["body"]), {}, **more)
    return failure_of(case["status"], {}, case["body"].encode(), **more)


def named(kind):
    return [pytest.param(case, id=case["server"]) for case in REFUSALS[kind]]


@pytest.mark.parametrize("case", named("too_long"))
def test_too_long_is_recognised(case):
    assert isinstance(read(case), PromptTooLong)


@pytest.mark.parametrize("case", named("too_long"))
def test_it_is_recognised_through_a_gateway(case):
    """Gateways put the body into a message of their own, and answer with a status of their own."""
    inner = case["body"] or "request too large"
    wrapped = json.dumps({"error": {"message": f"Upstream error: {inner}", "type": None, "code": "502"}})
    assert isinstance(failure_of(502, {}, wrapped), PromptTooLong)


@pytest.mark.parametrize("case", named("others"))
def test_like_words_mean_something_else(case):
    found = read(case)
    assert not isinstance(found, PromptTooLong)
    assert isinstance(found, TransientFailure if case["means"] == "passing" else ModelFailure)


MESSAGE = "The prompt (9001 tokens) is longer than the window of 8192 tokens."


@pytest.mark.parametrize(
    "body",
    [
        MESSAGE,
        {"error": MESSAGE},
        {"error": {"message": MESSAGE}},
        {"error": [{"message": MESSAGE}]},
        {"error": {"error": {"detail": MESSAGE}}},
        {"error": json.dumps({"message": MESSAGE})},
        {"error": {"message": json.dumps({"error": {"message": MESSAGE}})}},
        {"errors": [{"message": MESSAGE, "code": 5021}]},
        {"detail": MESSAGE},
        {"detail": {"message": MESSAGE}},
        {"detail": [{"msg": MESSAGE, "loc": ["body", "messages"]}]},
        {"message": MESSAGE},
        {"message": {"detail": MESSAGE}},
        {"Message": MESSAGE},
        {"errorMessage": MESSAGE},
        [{"error": {"message": MESSAGE}}],
        [MESSAGE],
        {"type": "https://example.org/problems/long", "title": "Bad Request", "detail": MESSAGE, "status": 400},
        {"error": {"code": "prompt_too_long"}},
        {"error": {"type": "PromptTooLongError", "message": "no"}},
        {"error": {"code": 400, "message": "no", "details": [{"reason": "CONTEXT_LENGTH_EXCEEDED"}]}},
        {"error": {"message": "no", "innererror": {"code": "context_length_exceeded"}}},
        f"data: {json.dumps({'error': {'message': MESSAGE}})}\n\ndata: [DONE]\n\n",
        f"<html><body><h1>400</h1><p>{MESSAGE}</p></body></html>",
    ],
)
def test_words_are_found_wherever_they_stand(body):
    sent = body if isinstance(body, str) else json.dumps(body)
    for status in (400, 413, 422, 429, 500, 503):
        assert isinstance(failure_of(status, {}, sent), PromptTooLong)


def test_the_message_is_the_servers_own():
    said = failure_of(401, {}, b'{"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}')
    assert str(said) == "HTTP 401: Incorrect API key provided"
    assert words_of({"detail": [{"loc": ["body", "n"], "msg": "Field required"}]}).message == "n: Field required"
    page = failure_of(502, {}, b"<html><head><style>p {}</style></head><body><h1>Bad</h1> Gateway</body></html>")
    assert str(page) == "HTTP 502: Bad Gateway"


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 520, 529])
def test_a_passing_failure_has_its_status_and_costs_nothing(status):
    found = failure_of(status, {"Retry-After": "7"}, b"")
    assert isinstance(found, TransientFailure)
    assert (found.status, found.retry_after, found.cost) == (status, 7.0, 0)


def test_retry_after_may_be_a_date_or_milliseconds():
    later = formatdate(time.time() + 60, usegmt=True)
    assert failure_of(503, {"retry-after": later}, b"").retry_after == pytest.approx(60, abs=2)
    assert failure_of(503, {"retry-after-ms": "1500"}, b"").retry_after == 1.5
    assert failure_of(503, {"retry-after": "soon"}, b"").retry_after is None


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
def test_a_refusal_is_final(status):
    found = failure_of(status, {}, b'{"error": {"message": "no such thing"}}')
    assert type(found) is ModelFailure


def test_an_error_with_a_status_inside_200_is_as_that_status():
    assert isinstance(failure_inside({"error": {"message": "busy", "code": 429}}, {}), TransientFailure)
    assert failure_inside({"error": {"message": "busy", "code": 502}}, {}).status == 502
    assert type(failure_inside({"error": {"message": "no", "code": 401}}, {})) is ModelFailure
    in_a_choice = {"choices": [{"message": {"content": ""}, "error": {"code": 502, "message": "gone"}}]}
    assert failure_inside(in_a_choice, {}).status == 502
    assert failure_inside([{"error": {"code": 503, "message": "busy"}}], {}).status == 503


def test_an_error_without_a_status_inside_200_passes_and_may_be_billed():
    found = failure_inside({"error": {"message": "upstream is gone"}}, {})
    assert isinstance(found, TransientFailure)
    assert (found.cost, found.failure) == (None, BadCompletion)


@pytest.mark.parametrize(
    "body", [{"choices": [{"message": {"content": "4"}}]}, {"choices": []}, {}, [], None, "x"]
)
def test_a_body_without_an_error_is_none(body):
    assert failure_inside(body, {}) is None


def test_no_completion_passes():
    found = no_completion("the endpoint's answer has no choices", {"choices": []})
    assert str(found) == 'the endpoint\'s answer has no choices: {"choices": []}'
    assert (found.cost, found.failure) == (None, BadCompletion)


def test_a_page_is_known():
    assert is_page("  <!DOCTYPE html><html></html>")
    assert not is_page('{"html": 1}')


def test_a_refusal_without_known_words_is_judged_by_size():
    refused = b'{"error": {"message": "Bad request"}}'
    over = Sent(8192, count=lambda: 9001)
    assert isinstance(failure_of(400, {}, refused, sent=over), PromptTooLong)
    for sent in (Sent(), Sent(8192), Sent(None, count=lambda: 9001), Sent(8192, count=lambda: 8000)):
        assert type(failure_of(400, {}, refused, sent=sent)) is ModelFailure
    assert type(failure_of(401, {}, refused, sent=over)) is ModelFailure
    crashed = failure_of(500, {}, b"", sent=over)
    assert isinstance(crashed, TransientFailure)
    assert crashed.failure is PromptTooLong  # after the last try


def test_hostile_bodies_are_read_in_bounded_time():
    deep = "[" * 50_000 + "]" * 50_000
    nested = json.dumps({"error": {"message": '{"error": ' * 200 + '"x"' + "}" * 200}})
    began = time.monotonic()
    for body in (deep, nested, "prompt " * 200_000, json.dumps({"error": "the input " * 100_000}), "<" * 100_000):
        failure_of(400, {}, body)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("message", REFUSALS["messages"])
def test_words_that_say_too_long(message):
    assert isinstance(failure_of(400, {}, json.dumps({"error": {"message": message}})), PromptTooLong)


@pytest.mark.parametrize("message", REFUSALS["other_messages"])
def test_words_that_do_not(message):
    assert type(failure_of(400, {}, json.dumps({"error": {"message": message}}))) is ModelFailure
