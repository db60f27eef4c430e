"""Checks of the model endpoints: a required key, and a response to GET /models, which costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ..execution.endpoints import Endpoint, load_endpoints
from ..models import Arm, Rollout
from .findings import Finding, fail, ok, warn

SECONDS = 5.0
"""The time limit of an endpoint's response, in seconds."""
_AT_ONCE = 8


def check_endpoints() -> Iterator[Finding]:
    """Yields all endpoints of the endpoints file. One that unfinished rollouts need fails, any other warns."""
    try:
        endpoints = load_endpoints(settings.RLM_ENDPOINTS_FILE)
    except ImproperlyConfigured as error:
        yield fail("endpoints", str(error), advice="Correct the file.")
        return
    unfinished = Rollout.objects.unfinished().values("arm")
    needed = set(Arm.objects.filter(pk__in=unfinished).values_list("endpoint", flat=True))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for endpoint, (problem, advice) in zip(endpoints, pool.map(_problem, endpoints), strict=True):
            subject = f"endpoint {endpoint.name}"
            if not problem:
                yield ok(subject, advice)
            elif endpoint.name in needed:
                yield fail(subject, f"{problem}; unfinished rollouts need it", advice=advice)
            else:
                yield warn(subject, problem, advice=advice)


def _problem(endpoint: Endpoint) -> tuple[str, str]:
    """Returns (problem, advice), or ("", a description of the response)."""
    if endpoint.missing:
        return "no key", f"{endpoint.missing[:1].upper()}{endpoint.missing[1:]} where workers run."
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    try:
        answer = httpx2.get(f"{endpoint.url.rstrip('/')}/models", headers=headers, timeout=SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        variable = endpoint.base_url_variable
        advice = "Start the server" + (f", or correct {variable}." if variable else ", or correct its base_url.")
        return f"{_host(endpoint)} does not answer: {type(error).__name__}", advice
    if answer.status_code in (401, 403):
        return f"the key is refused ({answer.status_code})", f"Correct {endpoint.key_variable or 'the key'}."
    if answer.status_code >= 500:
        return f"{_host(endpoint)} answers {answer.status_code}", "Look at the server's own log or status page."
    return "", f"{_host(endpoint)} answers"


def _host(endpoint: Endpoint) -> str:
    return httpx2.URL(endpoint.url).host
