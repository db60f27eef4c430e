"""A sandbox starts with its first cell, and not at all where no cell runs."""

import threading

import pytest

from rlm_runs.engine.lazy_sandbox import LazySandbox
from sandbox.contract import CellResult, SandboxError
from tests.engine.riddle import DONE, ended, steps
from tests.scripted_server import completion


class Box:
    backend = "process"

    def __init__(self):
        self.calls = []

    def load(self, variables, *, rlm=True):
        self.calls.append(("load", dict(variables), rlm))

    def execute(self, code, **_):
        self.calls.append(("execute", code))
        return CellResult()

    def close(self):
        self.calls.append(("close",))


def test_it_starts_once_and_is_set_up_before_the_first_cell():
    box, starts = Box(), []
    lazy = LazySandbox(lambda: starts.append(1) or box, backend="process")
    lazy.load({"context": "x"})
    assert starts == []
    lazy.execute("1", time_limit=1)
    lazy.execute("2", time_limit=1)
    lazy.close()
    assert starts == [1]
    assert box.calls == [("load", {"context": "x"}, True), ("execute", "1"), ("execute", "2"), ("close",)]


def test_one_that_is_closed_does_not_start():
    lazy = LazySandbox(Box, backend="process")
    lazy.close()
    with pytest.raises(SandboxError, match="closed"):
        lazy.execute("1", time_limit=1)


def test_one_that_is_closed_while_it_starts_is_ended():
    box, starting, go_on = Box(), threading.Event(), threading.Event()

    def start():
        starting.set()
        go_on.wait(10)
        return box

    lazy = LazySandbox(start, backend="process")
    failures = []

    def run():
        try:
            lazy.execute("1", time_limit=1)
        except SandboxError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    starting.wait(10)
    lazy.close()
    go_on.set()
    thread.join(10)
    assert len(failures) == 1
    assert box.calls == [("close",)]


def test_a_model_that_runs_no_cell_starts_no_sandbox(play, backend, monkeypatch):
    starts = []
    start = backend.start
    monkeypatch.setattr(backend, "start", lambda spec: starts.append(spec) or start(spec))
    told = play(steps(completion("no cell"), completion("none"), completion("never")))
    assert (ended(told).stop_reason, starts) == ("no_tool_call", [])
    play(steps(DONE))
    assert len(starts) == 1
