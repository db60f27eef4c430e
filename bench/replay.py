"""The replay of a large rollout: 200 cells, 5,000 sub-calls, 10 MB of input, depth 6, a line of 5 MB.

    python -m bench.replay [--cells 200] [--calls 25] [--json]

Server times are the 95th percentile of warm requests, beside the limit. In Chromium, the first paint is beside
that of a small page, a step beside one frame of a 60 Hz screen, and the heap after stepping through all turns
beside the heap before.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING
from urllib.request import urlopen

from bench.filled_store import served
from bench.large_rollout import Size, Trace
from bench.pages import MOST_BYTES, milliseconds, percentile95, reader
from bench.report import Figure, show

if TYPE_CHECKING:
    from django.test import Client
    from playwright.sync_api import Page

    from rlm_runs.models import Rollout

SERVER_LIMIT, FRAME = 100.0, 1000 / 60
INPUT_CHARS = 10_000_000
_GROUPS_PER_COMMIT = 200
_SECTIONS = (
    "",
    "timeline/",
    "flame/",
    "context/",
    "answer/",
    "variables/",
    "input/",
    "diagnosis/",
    "inspector/100/",
)

_STEP = """async (key) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const began = performance.now();
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  await frame();
  return performance.now() - began;
}"""
_PAINT = 'performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1'


def record(size: Size) -> Rollout:
    """Launches a rollout and records the large trace for it."""
    from rlm_runs.execution import queue
    from rlm_runs.execution.group_commit import GroupCommit
    from rlm_runs.execution.recorder import Recorder
    from rlm_runs.experiments.launch import launch
    from rlm_runs.models import Text

    launch(
        {
            "name": "large",
            "examples": 1,
            "models": ["demo-model"],
            "scaffolds": ["rlm"],
            "environments": [{"name": "verbatim-copy", "target_length": 200}],
        }
    )
    (rollout,) = queue.claim(1)
    line = "Date: 2026-01-01 || User: 4242 || Instance: how many messages are there?\n"
    (digest,) = Text.objects.keep([line * (INPUT_CHARS // len(line))])
    rollout.example.input_data_id = digest
    rollout.example.save()
    commits, recorder = GroupCommit(), Recorder(rollout)
    groups = Trace("large", size).groups()
    while many := list(islice(groups, _GROUPS_PER_COMMIT)):
        commits.record(recorder, [event for events in many for event in events])
    return rollout


def server_figures(rollout: Rollout, client: Client, *, requests: int) -> Iterator[tuple[Figure, int]]:
    """Yields the time and size of each section."""
    for section in _SECTIONS:
        address = f"/rollouts/{rollout.pk}/{section}"
        response = client.get(address)
        assert response.status_code == 200, f"{address} answered {response.status_code}"
        value = percentile95([milliseconds(partial(client.get, address)) for _ in range(requests)])
        yield (
            Figure(f"server, {section.strip('/') or 'transcript'}", value, "ms", "limit", SERVER_LIMIT),
            len(response.content),
        )


def export_figures(rollout: Rollout, client: Client) -> Iterator[tuple[Figure, int]]:
    """Yields the times of the standalone file and of the whole trace as JSON, which reads the same rows."""
    began = time.perf_counter()
    size = sum(map(len, client.get(f"/rollouts/{rollout.pk}/standalone/").streaming_content))
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    response = client.get(f"/api/rollouts/{rollout.pk}/")
    _ = response.getvalue() if hasattr(response, "getvalue") else response.content
    yield Figure("standalone export", seconds, "s", "the trace as JSON", time.perf_counter() - began), size


def browser_figures(rollout: Rollout, page: Page, *, base: str, steps: int) -> Iterator[Figure]:
    """Yields first paint, steps and heap in Chromium."""
    address = f"{base}/rollouts/{rollout.pk}/"
    paints, floors = [], []
    for _ in range(5):
        page.goto(address)
        paints.append(page.evaluate(_PAINT))
        page.goto(f"{base}/workers/")
        floors.append(page.evaluate(_PAINT))
    yield Figure("first paint", statistics.median(paints), "ms", "Workers page", statistics.median(floors))
    page.goto(address)
    devtools = page.context.new_cdp_session(page)
    before = _heap(devtools)
    times = [page.evaluate(_STEP, "j") for _ in range(steps)]
    yield Figure("step, median", statistics.median(times), "ms", "one frame", FRAME)
    yield Figure("step, 95th percentile", percentile95(times), "ms", "limit", 50.0)
    once = _heap(devtools)
    for key in ("k", "j"):
        for _ in range(steps):
            page.evaluate(_STEP, key)
    yield Figure("heap after one pass", once, "MB", "before", before)
    yield Figure("heap after three passes", _heap(devtools), "MB", "after one pass", once)


def _heap(devtools: object) -> float:
    devtools.send("HeapProfiler.collectGarbage")  # type: ignore[attr-defined]
    used: float = devtools.send("Runtime.getHeapUsage")["usedSize"]  # type: ignore[attr-defined]
    return used / 2**20


@contextmanager
def web_server(client: Client) -> Iterator[tuple[str, str]]:
    """Yields the address of a web server on this store, and the session of the client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "rlm_runs.wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "4"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                urlopen(f"{base}/healthz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield base, client.cookies["sessionid"].value
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--calls", type=int, default=25, help="sub-calls of each cell")
    parser.add_argument("--requests", type=int, default=10, help="warm requests per section")
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {"RLM_VAR_DIR": name, "RLM_SANDBOX": "process", "SECRET_KEY": "of the benchmark"}
        os.environ |= {"DEMO_MODEL_URL": "http://127.0.0.1:1/v1", "DJANGO_ALLOW_ASYNC_UNSAFE": "1"}
        with served(rollouts=0, name="replay"):
            _show_all(options)


def _show_all(options: argparse.Namespace) -> None:
    import shutil

    from django.db import connection
    from playwright.sync_api import sync_playwright

    try:
        rollout = record(Size(cells=options.cells, calls_per_cell=options.calls))
        client = reader()
        for figure, size in (
            *server_figures(rollout, client, requests=options.requests),
            *export_figures(rollout, client),
        ):
            show(figure, as_json=options.json, bytes=size)
            if size > MOST_BYTES and figure.unit == "ms" and not options.json:
                print(f"  OVER: {size:,} bytes")
        with web_server(client) as (base, session), sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which(options.chromium), args=["--no-sandbox", "--disable-gpu"]
            )
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.add_cookies([{"name": "sessionid", "value": session, "url": base}])
            for figure in browser_figures(rollout, context.new_page(), base=base, steps=options.cells):
                show(figure, as_json=options.json)
            browser.close()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE rlm_runs_experiment, rlm_runs_text CASCADE")


if __name__ == "__main__":
    main()
