"""Log records carry the ids of the rollout that they belong to, and nothing that must not be logged."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest
import structlog

from rlm_runs.engine.threads import ContextExecutor
from rlm_runs.observability import logs, web_log

ROLLOUT = SimpleNamespace(pk=812, experiment_id=5, attempt=2, worker="box:7")


@pytest.fixture
def logged():
    """Makes a logger that writes in a format; `read` returns what it wrote."""
    handler = logging.StreamHandler(io.StringIO())
    logger = logging.getLogger("tests.logs")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False

    def start(log_format="json"):
        handler.setFormatter(logs.formatter(log_format=log_format))
        return logger, handler.stream.getvalue

    yield start
    logger.removeHandler(handler)
    structlog.contextvars.clear_contextvars()


def lines(read):
    return [json.loads(line) for line in read().splitlines()]


def test_records_name_the_rollout_while_it_is_bound(logged):
    logger, read = logged()
    with logs.bound_to(ROLLOUT):
        logger.warning("call %s failed", 3, extra={"endpoint": "demo"})
    logger.info("afterwards")
    inside, outside = lines(read)
    assert inside.pop("timestamp").endswith("Z")
    assert inside == {
        "event": "call 3 failed",
        "level": "warning",
        "logger": "tests.logs",
        "experiment": 5,
        "rollout": 812,
        "attempt": 2,
        "worker": "box:7",
        "endpoint": "demo",
    }
    assert "rollout" not in outside


def test_loggers_of_structlog_write_the_same(logged):
    _, read = logged()
    with logs.bound_to(ROLLOUT):
        structlog.get_logger("tests.logs").info("claimed", seconds=0.5)
    (line,) = lines(read)
    assert (line["event"], line["rollout"], line["seconds"], line["logger"]) == ("claimed", 812, 0.5, "tests.logs")


def test_threads_of_the_engine_log_with_the_ids(logged):
    logger, read = logged()
    with logs.bound_to(ROLLOUT), ContextExecutor(2) as pool:
        pool.submit(logger.info, "of a sub-LLM").result()
    assert lines(read)[0]["rollout"] == 812


@pytest.mark.parametrize("log_format", logs.FORMATS)
def test_a_traceback_shows_no_values_of_variables(logged, log_format):
    logger, read = logged(log_format)
    api_key = "sk-" + "secret" * 4
    try:
        raise ValueError(len(api_key))
    except ValueError:
        logger.exception("failed")
    assert "ValueError: 27" in read()
    assert api_key not in read()


def test_lines_for_people_escape_control_characters(logged):
    logger, read = logged("console")
    with logs.bound_to(ROLLOUT):
        logger.error("the model said \x1b[2Jnothing\r")
    assert "\\x1b[2Jnothing\\x0d" in read()
    assert "rollout=812" in read()
    assert "\x1b" not in read()


def test_a_json_line_is_one_line_whatever_is_logged():
    """Formatted without logging it: pytest-xdist cannot send a report with a lone surrogate in it."""
    record = logging.LogRecord("tests.logs", logging.ERROR, __file__, 1, "two\nlines \ud800 \x00", None, None)
    record.anything = object()
    (line,) = logs.formatter(log_format="json").format(record).splitlines()
    assert json.loads(line)["event"] == "two\nlines \ud800 \x00"


def test_a_format_that_does_not_exist_stops_the_start():
    variables = {**os.environ, "LOG_FORMAT": "xml", "DJANGO_SETTINGS_MODULE": "rlm_runs.settings"}
    command = [sys.executable, "-c", "import django; django.setup()"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "LOG_FORMAT must be console or json, not 'xml'" in done.stderr


def test_celery_can_make_logs_more_verbose_but_not_less(tmp_path):
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    try:
        root.setLevel(logging.INFO)
        logs.configure_celery(loglevel=logging.WARNING, logfile=None)
        assert root.level == logging.INFO
        assert root.handlers == before[1]
        logs.configure_celery(loglevel=logging.DEBUG, logfile=str(tmp_path / "worker.log"))
        assert root.level == logging.DEBUG
        logging.getLogger("tests.celery").debug("into the file")
    finally:
        for handler in root.handlers:
            if handler not in before[1]:
                handler.close()
        root.setLevel(before[0])
        root.handlers[:] = before[1]
    assert "into the file" in (tmp_path / "worker.log").read_text()


def test_an_access_record_has_fields():
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/experiments/x/", "QUERY_STRING": "sort=n"}
    response = SimpleNamespace(status="200 OK", sent=512)
    assert web_log.access_fields(response, environ, timedelta(milliseconds=12)) == {
        "method": "GET",
        "path": "/experiments/x/",
        "query": "sort=n",
        "status": 200,
        "bytes": 512,
        "seconds": 0.012,
        "peer": "",
    }


@pytest.mark.parametrize("log_format", logs.FORMATS)
def test_the_token_of_a_shared_link_is_not_logged(logged, log_format):
    logger, read = logged(log_format)
    token = "0b6f8f3e-1111-4222-8333-abcdefabcdef.aBcD-eFg_hIj"
    logger.warning("Not Found: /s/%s/x/", token, extra={"request": SimpleNamespace(path=f"/s/{token}/x/")})
    logger.info("request", extra={"path": f"/s/{token}/experiments/x/"})
    assert token not in read()
    assert "/s/…/experiments/x/" in read() or "/s/\\u2026/experiments/x/" in read()
