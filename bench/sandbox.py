"""The speed of the sandbox, each figure beside a floor from the same run: a minimal REPL over the same engine.

    python -m bench.sandbox [--json] [--quick]

No design can beat the floor: a container with a ten-line REPL, driven over its attached connection. It has no time
limit, no supervisor, no state to report, and no walls but the missing network.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from docker.api.client import APIClient

from bench.report import Figure, show
from sandbox.backends import open_backend
from sandbox.containers import remove
from sandbox.contract import Backend, Batch, Sandbox, SandboxSpec
from sandbox.docker_backend import open_client
from sandbox.images import Images
from sandbox.settings import SandboxSettings

CELL = "x = 1\nx + 1"
SPEC = SandboxSpec()
FLOOR_REPL = """
import struct, sys
read, write = sys.stdin.buffer.read, sys.stdout.buffer
space = {}
def say(data): write.write(struct.pack(">I", len(data)) + data); write.flush()
say(b"ready")
while head := read(4):
    exec(read(struct.unpack(">I", head)[0]), space)
    say(b"done")
"""
_LENGTH = struct.Struct(">I")
_MULTIPLEX_HEADER = 8


class Floor:
    """One container with the minimal REPL."""

    def __init__(self, client: APIClient, image: str) -> None:
        self._client = client
        self._container = client.create_container(
            image,
            command=["python3", "-I", "-c", FLOOR_REPL],
            stdin_open=True,
            network_disabled=True,
            host_config=client.create_host_config(network_mode="none"),
        )["Id"]
        self._line: Any = client.attach_socket(
            self._container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        )
        self._socket: socket.socket = getattr(self._line, "_sock", self._line)
        self._socket.settimeout(30)
        client.start(self._container)
        self._hear()

    def execute(self, code: bytes) -> None:
        self._socket.sendall(_LENGTH.pack(len(code)) + code)
        self._hear()

    def _hear(self) -> None:
        data = b""
        while len(data) < _MULTIPLEX_HEADER + _LENGTH.size + 4:
            got = self._socket.recv(65536)
            if not got:
                raise EOFError("the floor's container ended")
            data += got

    def close(self) -> None:
        self._line.close()
        self._socket.close()
        remove(self._client, self._container)


@dataclass(frozen=True)
class Setting:
    client: APIClient
    image: str
    cold: Backend
    warm: Backend
    process: Backend
    rounds: int

    def floor(self) -> Floor:
        return Floor(self.client, self.image)


@contextlib.contextmanager
def setting(*, rounds: int) -> Iterator[Setting]:
    given = vars(SandboxSettings.from_environment(os.environ))
    cold = open_backend("docker", SandboxSettings(**{**given, "pool_size": 0}))
    warm = open_backend("docker", SandboxSettings(**{**given, "pool_size": 4}))
    process = open_backend("process", SandboxSettings(**{**given, "pool_size": 0}))
    client = open_client()
    try:
        image = Images(client, settings=SandboxSettings(**given)).prepare(())
        yield Setting(client, image, cold, warm, process, rounds)
    finally:
        for backend in (cold, warm, process):
            backend.close()
        client.close()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(sandbox: Sandbox, code: str, on_batch: Callable[[Batch], None] | None = None) -> None:
    result = sandbox.execute(code, time_limit=60, on_batch=on_batch)
    if result.error is not None:
        raise RuntimeError(result.error.message)


def started(backend: Backend) -> Sandbox:
    sandbox = backend.start(SPEC)
    sandbox.load({})
    return sandbox


def cells(at: Setting) -> Iterator[Figure]:
    """Yields figures of our sandbox and the floor in turn, so that other load on the machine affects both
    equally.
    """
    ours, process, floor = started(at.cold), started(at.process), at.floor()
    code = CELL.encode()
    times: dict[str, list[float]] = {"ours": [], "process": [], "floor": []}
    for _ in range(at.rounds * 100):
        times["floor"].append(timed(lambda: floor.execute(code)))
        times["ours"].append(timed(lambda: run(ours, CELL)))
        times["process"].append(timed(lambda: run(process, CELL)))
    batches = [timed(lambda: run(ours, "_ = llm_batch(['p'] * 16)", answer_at_once)) for _ in range(at.rounds * 5)]
    floors = [timed(lambda: [floor.execute(code) for _ in range(16)]) for _ in range(at.rounds * 5)]
    slow = min(timed(lambda: run(ours, "_ = llm_batch(['p'] * 64)", answer_in_200_ms)) for _ in range(3))
    for one in (ours, process, floor):
        one.close()
    floor_median = statistics.median(times["floor"]) * 1000
    yield Figure("cell, median", statistics.median(times["ours"]) * 1000, "ms", "floor", floor_median)
    yield Figure("cell, p95", percentile95(times["ours"]), "ms", "floor", percentile95(times["floor"]))
    yield Figure("cell, process backend", statistics.median(times["process"]) * 1000, "ms", "floor", floor_median)
    yield Figure("16 instant sub-calls", median_ms(batches), "ms", "16 floor cells", median_ms(floors))
    yield Figure("64 sub-calls of 200 ms", slow * 1000, "ms", "one sub-call", 200.0)


def answer_at_once(batch: Batch) -> None:
    for index in range(len(batch.prompts)):
        batch.answer(index, "answer")
    batch.finish("")


def answer_in_200_ms(batch: Batch) -> None:
    def work(index: int) -> None:
        time.sleep(0.2)
        batch.answer(index, "answer")

    def gather() -> None:
        with ThreadPoolExecutor(len(batch.prompts)) as workers:
            list(workers.map(work, range(len(batch.prompts))))
        batch.finish("")

    threading.Thread(target=gather).start()


def starts(at: Setting) -> Iterator[Figure]:
    ours, closes, floors, removals = [], [], [], []
    for _ in range(at.rounds):
        begun = time.perf_counter()
        floor = at.floor()
        floors.append(time.perf_counter() - begun)
        removals.append(timed(floor.close))
        begun = time.perf_counter()
        sandbox = at.cold.start(SPEC)
        ours.append(time.perf_counter() - begun)
        closes.append(timed(sandbox.close))
        time.sleep(0.2)  # the removal must not overlap the next floor's start
    yield Figure("cold start", median_ms(ours), "ms", "floor", median_ms(floors))
    yield Figure("close, on the rollout's path", median_ms(closes), "ms", "floor's removal", median_ms(removals))
    yield Figure("warm start", median_ms(list(warm_starts(at))), "ms", "floor, cold", median_ms(floors))


def warm_starts(at: Setting) -> Iterator[float]:
    at.warm.start(SPEC).close()
    for _ in range(at.rounds):
        time.sleep(1.5)  # gives the pool time to refill
        begun = time.perf_counter()
        sandbox = at.warm.start(SPEC)
        yield time.perf_counter() - begun
        sandbox.close()


def rollouts(at: Setting) -> Iterator[Figure]:
    """Yields rollouts per minute: ten cells each, a new container each, eight at a time."""

    def ours() -> None:
        sandbox = started(at.cold)
        for _ in range(10):
            run(sandbox, CELL)
        sandbox.close()

    def floor() -> None:
        one = at.floor()
        for _ in range(10):
            one.execute(CELL.encode())
        one.close()

    rates: dict[str, list[float]] = {"ours": [], "floor": []}
    for _ in range(3):
        rates["floor"].append(rate(floor, count=at.rounds * 3))
        rates["ours"].append(rate(ours, count=at.rounds * 3))
    yield Figure(
        "rollouts of 10 cells, 8 at a time",
        statistics.median(rates["ours"]),
        "a minute",
        "floor",
        statistics.median(rates["floor"]),
    )


def rate(work: Callable[[], None], *, count: int) -> float:
    with ThreadPoolExecutor(8) as workers:
        seconds = timed(lambda: [future.result() for future in [workers.submit(work) for _ in range(count)]])
    return count / seconds * 60


def median_ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


def percentile95(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95)] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    options = parser.parse_args()
    with setting(rounds=4 if options.quick else 16) as at:
        for measure in (cells, starts, rollouts):
            for figure in measure(at):
                show(figure, as_json=options.json)


if __name__ == "__main__":
    main()
