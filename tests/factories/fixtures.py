"""Fixtures that tests of the analysis and of the pages share: an experiment with something of everything."""

import pytest

from rlm_runs.analysis import aggregates

from .traces import make_experiment, play_all


@pytest.fixture(autouse=True)
def fresh_snapshots():
    """Tests change rows in ways that no running program does."""
    aggregates.forget()


@pytest.fixture
def queued(db):
    """One environment, three scaffolds, three examples, nothing done yet."""
    return make_experiment()


@pytest.fixture
def played(queued):
    """The same with every kind of rollout that there is."""
    play_all(queued)
    return queued
