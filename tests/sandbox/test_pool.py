"""Warm sandboxes are ready on request, used once, and replaced when they break."""

import threading
import time

import pytest

from sandbox.backends import open_backend
from sandbox.contract import SandboxError, SandboxSpec
from sandbox.pool import Pool
from sandbox.settings import SandboxSettings
from tests.sandbox.conftest import settings_for_tests

SPEC = SandboxSpec()


class FakeBox:
    def __init__(self, on_close, *, alive=True):
        self.started_at = time.monotonic()
        self.alive = alive
        self.closed = threading.Event()
        self._on_close = on_close

    def is_alive(self, *, timeout):
        return self.alive

    def close(self, *, kill=False):
        self.closed.set()
        self._on_close(self)


class Shop:
    """Makes boxes for a pool, and remembers them."""

    def __init__(self):
        self.boxes = []
        self.fails = False
        self.made = threading.Semaphore(0)

    def open_box(self, spec, *, lifetime_seconds, on_close):
        if self.fails:
            self.made.release()
            raise SandboxError("no engine")
        box = FakeBox(on_close)
        self.boxes.append(box)
        self.made.release()
        return box

    def wait_for(self, count):
        for _ in range(count):
            assert self.made.acquire(timeout=10)


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def make_pool(shop):
    pools = []

    def make_pool(**settings):
        pools.append(Pool(open_box=shop.open_box, settings=SandboxSettings(**settings)))
        return pools[-1]

    yield make_pool
    for pool in pools:
        pool.close()


def test_boxes_are_ready_ahead_and_handed_out_once(make_pool, shop):
    pool = make_pool(pool_size=2)
    pool.keep_warm(SPEC)
    shop.wait_for(2)
    first = pool.take(SPEC)
    shop.wait_for(1)
    second = pool.take(SPEC)
    assert first is not second


def test_a_pool_of_none_starts_each_when_it_is_asked_for(make_pool, shop):
    pool = make_pool(pool_size=0)
    assert [pool.take(SPEC), pool.take(SPEC)] == shop.boxes


def test_a_dead_box_is_replaced(make_pool, shop):
    pool = make_pool(pool_size=1)
    pool.keep_warm(SPEC)
    shop.wait_for(1)
    pool.take(SandboxSpec(packages=("other",)))  # lets the keeper shelve the first
    dead = shop.boxes[0]
    dead.alive = False
    taken = pool.take(SPEC)
    assert taken is not dead
    assert taken.alive
    assert dead.closed.wait(10)


def test_an_old_box_is_closed_and_replaced(make_pool, shop):
    make_pool(pool_size=1, pool_age_seconds=0.1).keep_warm(SPEC)
    shop.wait_for(2)
    assert shop.boxes[0].closed.wait(10)


def test_what_nobody_asks_for_is_closed_and_not_replaced(make_pool, shop):
    make_pool(pool_size=1, pool_idle_seconds=0.1).keep_warm(SPEC)
    shop.wait_for(1)
    assert shop.boxes[0].closed.wait(10)
    assert len(shop.boxes) == 1


def test_a_failing_engine_fails_whoever_asks(make_pool, shop, caplog):
    shop.fails = True
    pool = make_pool(pool_size=1)
    with pytest.raises(SandboxError, match="no engine"):
        pool.take(SPEC)


def test_closing_closes_every_box(make_pool, shop):
    pool = make_pool(pool_size=2)
    pool.take(SPEC)
    shop.wait_for(3)
    pool.close()
    assert all(box.closed.is_set() for box in shop.boxes)
    with pytest.raises(SandboxError, match="closed"):
        pool.take(SPEC)


@pytest.mark.parametrize("name", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_real_ones_come_warm_and_fresh(name, request, state_dir):
    if name == "docker":
        request.getfixturevalue("engine")
    backend = open_backend(name, settings_for_tests(state_dir, pool_size=1))
    try:
        for _ in range(3):
            sandbox = backend.start(SPEC)
            assert sandbox.execute("'x' in globals()", time_limit=10).out == "False"
            sandbox.execute("x = 1", time_limit=10)
            sandbox.close()
    finally:
        backend.close()
