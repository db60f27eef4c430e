"""Estimates of tokens: learned from calls, a little too high, and bounded by the sampling."""

from __future__ import annotations

from rlm_runs.engine.clients.token_estimates import TokenEstimator
from rlm_runs.engine.events import Usage

MESSAGES = [{"role": "user", "content": "x" * 996}]


def test_estimates_are_learned_from_the_first_call_on():
    estimator = TokenEstimator()
    estimator.learn(MESSAGES, (), Usage(prompt=500, completion=40))
    estimate = estimator.estimate(MESSAGES * 2, (), {})
    assert 1000 < estimate.prompt < 1200
    assert 40 < estimate.completion < 50


def test_a_change_is_followed():
    estimator = TokenEstimator()
    for completion in [10] * 50 + [1000] * 100:
        estimator.learn(MESSAGES, (), Usage(prompt=100, completion=completion))
    assert 1000 < estimator.estimate(MESSAGES, (), {}).completion < 1200


def test_a_completion_is_no_longer_than_it_may_be():
    assert TokenEstimator().estimate(MESSAGES, (), {"max_completion_tokens": 7}).completion == 8


def test_usage_that_is_not_known_teaches_nothing():
    estimator = TokenEstimator()
    before = estimator.estimate(MESSAGES, (), {})
    estimator.learn(MESSAGES, (), Usage())
    assert estimator.estimate(MESSAGES, (), {}) == before
