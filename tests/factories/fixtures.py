"""Fixtures for tests of the analysis and the pages: an experiment with every kind of rollout."""

import pytest

from rlm_runs.analysis import aggregates

from .traces import make_experiment, play_all


@pytest.fixture(autouse=True)
def fresh_snapshots():
    """Clears what is kept in the process, because tests change rows directly."""
    aggregates.forget()


@pytest.fixture
def queued(db):
    """One environment, three scaffolds, three examples, all queued."""
    return make_experiment()


@pytest.fixture
def played(queued):
    """The same with every kind of rollout."""
    play_all(queued)
    return queued
