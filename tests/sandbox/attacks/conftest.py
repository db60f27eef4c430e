"""`attack`: runs a hostile cell and asserts what holds after every one, whatever it did."""

import time

import pytest

from sandbox.contract import Answer, CellError, CellResult, Variable

GRACE = 2.0
"""Seconds after a cell's limit in which its result has to be here."""


def assert_well_formed(result):
    assert type(result) is CellResult
    assert type(result.output) is str
    assert type(result.output_chars) is int
    assert result.out is None or type(result.out) is str
    assert result.error is None or type(result.error) is CellError
    assert type(result.timed_out) is type(result.state_lost) is bool
    assert result.wall_seconds >= 0
    assert result.cpu_seconds >= 0
    assert type(result.peak_memory_bytes) is int
    assert type(result.answer) is Answer
    assert (type(result.answer.content), type(result.answer.ready)) == (str, bool)
    assert all(type(one) is Variable and len(one.repr) < 500 for one in result.variables)
    assert not result.state_lost or result.error is not None


@pytest.fixture
def attack(sandbox):
    """Runs a cell; its result came in time and well-formed, and the cell after it works.

    `late`: what the cell did may show in the next cell only; then the one after that works.
    """

    def attack(code, *, limit=3.0, late=False, **callbacks):
        began = time.monotonic()
        result = sandbox.execute(code, time_limit=limit, **callbacks)
        assert time.monotonic() - began < limit + GRACE
        assert_well_formed(result)
        after = sandbox.execute("print('works'); 40 + 2", time_limit=10)
        if late and after.state_lost:
            assert_well_formed(after)
            after = sandbox.execute("print('works'); 40 + 2", time_limit=10)
        assert_well_formed(after)
        assert (after.output, after.out) == ("works\n", "42")
        attack.after = after
        return result

    return attack


only_in_a_container = pytest.mark.parametrize(
    "backend", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True
)
"""For attacks on walls that the process backend does not claim to have."""
