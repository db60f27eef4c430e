"""The helper process: hostile expressions, death, threads, and what it can reach."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlm_runs.engine.environments.math_grader import SCRIPT, MathGrader


@pytest.fixture
def grader():
    grader = MathGrader()
    yield grader
    grader.close()


def test_a_hostile_expression_is_cut_off_and_the_next_one_graded(grader):
    assert grader.equal(gold="2", answer="\\boxed{2}")
    grader.time_limit, usual = 1.0, grader.time_limit
    began = time.monotonic()
    assert not grader.equal(gold="2", answer="\\boxed{9^{9^{9^{9^9}}}}")
    assert time.monotonic() - began < 20
    grader.time_limit = usual
    assert grader.equal(gold="2", answer="\\boxed{2}")


def test_a_helper_that_was_killed_is_started_again(grader):
    assert grader.equal(gold="2", answer="\\boxed{2}")
    os.kill(grader._process.pid, signal.SIGKILL)
    grader._process.wait()
    assert grader.equal(gold="2", answer="\\boxed{2}")


def test_many_threads_each_get_their_own_answer(grader):

    def ask(n):
        return grader.equal(gold=str(n), answer=f"\\boxed{{{n if n % 2 else n + 1}}}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(40))) == [n % 2 == 1 for n in range(40)]


@pytest.mark.parametrize(
    "answer", ["\x00", "\ud800", "a\nb", "\\boxed{" * 300, "x" * 1_000_000, "\\input{/etc/passwd}"]
)
def test_any_text_is_an_answer(grader, answer):
    assert not grader.equal(gold="2", answer=answer)
    assert grader.equal(gold="2", answer="\\boxed{2}")


def test_the_end_of_a_long_answer_is_what_counts(grader):
    assert grader.equal(gold="2", answer="blah " * 100_000 + "\\boxed{2}")


def test_the_helper_has_none_of_our_environment(grader):
    assert grader.equal(gold="2", answer="\\boxed{2}")
    with open(f"/proc/{grader._process.pid}/environ", "rb") as environ:
        assert b"PATH" not in environ.read()


def test_the_helper_ends_with_its_input():
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT)],
        input=b'{"expression": "x^2"}\n',
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [b'{"ready": true}', b'{"yes": true}']
