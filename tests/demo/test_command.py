"""`python -m rlm_runs.demo.simulated_model`: the port file, and an end on a signal."""

import signal
import subprocess
import sys
import time

import pytest

from rlm_runs.demo.simulated_model.__main__ import main
from rlm_runs.demo.simulated_model.options import DemoOptions

from .simulated_model.harness import request

COMMAND = [sys.executable, "-m", "rlm_runs.demo.simulated_model", "--port", "0", "--latency", "0", "--jitter", "0"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_on_the_port_in_its_port_file_until_it_is_told_to_stop(tmp_path, stop):
    serve_until(stop, tmp_path)


def test_it_stops_on_sigint_where_it_inherits_that_sigint_is_ignored(tmp_path):
    """A shell ignores SIGINT for background processes, as in `make test &`."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve_until(signal.SIGINT, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


def serve_until(stop, tmp_path):
    port_file = tmp_path / "port"
    child = subprocess.Popen([*COMMAND, "--port-file", str(port_file)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not port_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        url = f"http://127.0.0.1:{int(port_file.read_text())}"
        assert request(url, "GET", "/healthz").json["simulated"] is True
        child.send_signal(stop)
        assert child.wait(timeout=10) == 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("option", [["--fail-429", "2"], ["--latency", "-1"], ["--window", "0"], ["--port", "x"]])
def test_bad_options_are_refused(option, capsys):
    with pytest.raises(SystemExit) as caught:
        main(option)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_options_in_code_are_checked_too():
    with pytest.raises(ValueError, match="must not add up to more than 1"):
        DemoOptions(fail_429=0.6, fail_500=0.6)
