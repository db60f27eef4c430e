"""`python -m rlm_runs.demo.simulated_model --port 8001`: serves the demo model until it is interrupted."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from .options import DemoOptions
from .server import DemoServer


def main(arguments: list[str] | None = None) -> int:
    """Parses the options, writes the port file, and serves."""
    options, port_file = _parse(arguments)
    server = DemoServer(options)
    if port_file is not None:
        # Renamed into place, so that a waiting process never reads half of it.
        partial = port_file.with_name(port_file.name + ".partial")
        partial.write_text(f"{server.port}\n")
        os.replace(partial, port_file)
    print(f"demo model (simulated) on {server.url}/v1", flush=True)
    # A shell ignores SIGINT for background processes, and this process would inherit that.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
    return 0


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parse(arguments: list[str] | None) -> tuple[DemoOptions, Path | None]:
    parser = argparse.ArgumentParser(prog="python -m rlm_runs.demo.simulated_model", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: the system chooses one")
    parser.add_argument("--port-file", type=Path, help="file to write the port to")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--latency", type=float, default=0.9, help="seconds of each completion")
    parser.add_argument("--jitter", type=float, default=0.7, help="seconds more, at most")
    parser.add_argument("--fail-429", type=float, default=0.0, help="share of requests refused with 429")
    parser.add_argument("--fail-500", type=float, default=0.0, help="share of requests that fail with 500")
    parser.add_argument("--retry-after", type=float, default=1.0, help="seconds that a 429 asks to wait")
    parser.add_argument("--window", type=int, default=16_000, help="longest prompt, in tokens")
    parser.add_argument("--api-key", help="refuse other keys with 401")
    given = vars(parser.parse_args(arguments))
    port_file = given.pop("port_file")
    try:
        return DemoOptions(**given), port_file
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
