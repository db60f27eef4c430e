"""`manage.py doctor` finds what is wrong with an installation, and says what to do."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import namedtuple
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.utils import timezone

from rlm_runs.doctor import database, disk, endpoints, findings, queue, report, sandboxes
from rlm_runs.doctor.findings import Status
from rlm_runs.execution.code_version import code_version
from rlm_runs.models import Arm, Experiment, WorkerProcess
from sandbox.contract import SandboxError
from tests.factories import rollout_rows

Usage = namedtuple("Usage", "total used free")


def only(check):
    (finding,) = check()
    assert finding.status is Status.OK or finding.advice
    return finding


def worker(**changes):
    now = timezone.now()
    columns = {"name": "box:7", "host": "box", "pid": 7, "started_at": now, "last_seen_at": now, "running": 2}
    return WorkerProcess.objects.create(**columns | {"versions": {"rlm_runs": code_version()}} | changes)


def wait(**columns):
    made = rollout_rows.make([rollout_rows.Plan()], row=lambda *_: {"status": "queued", "stop_reason": ""})
    Experiment.objects.filter(pk=made.pk).update(**columns)


class TestDatabase:
    def test_one_that_is_well(self, db):
        checks = (
            database.check_connection,
            database.check_migrations,
            database.check_writable,
            database.check_collation,
            database.check_clock,
            database.check_connections,
        )
        found = [finding for check in checks for finding in check()]
        assert {finding.status for finding in found} == {Status.OK}
        assert found[0].found.startswith("PostgreSQL ")

    def test_migrations_that_are_not_applied(self, monkeypatch):
        monkeypatch.setattr(database, "pending_migrations", lambda: ["a.1", "a.2", "a.3", "a.4"])
        finding = only(database.check_migrations)
        assert (finding.status, finding.found) == (Status.FAIL, "4 not applied: a.1, a.2, a.3 …")
        assert "migrate" in finding.advice

    def test_pools_that_may_take_more_than_there_is(self, db, monkeypatch):
        pool = django_settings.DATABASES["default"]["OPTIONS"]["pool"]
        monkeypatch.setitem(pool, "max_size", 5_000)
        worker()
        finding = only(database.check_connections)
        assert finding.status is Status.WARN
        assert "1 workers and a web process may take 10000" in finding.found

    def test_a_clock_that_is_wrong(self, db, monkeypatch):
        there = timezone.now() + timedelta(seconds=90)
        monkeypatch.setattr(database, "_row", lambda _: (there,))
        finding = only(database.check_clock)
        assert finding.status is Status.WARN
        assert finding.found.startswith("90")

    def test_one_that_is_away(self, tmp_path):
        variables = {**os.environ, "DATABASE_URL": f"host={tmp_path} dbname=x user=x", "LOG_LEVEL": "ERROR"}
        command = [sys.executable, "manage.py", "doctor", "--json"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        found = {finding["subject"]: finding for finding in json.loads(done.stdout)}
        assert found["database"]["status"] == "fail"
        assert "DATABASE_URL" in found["database"]["advice"]
        assert "broker" in found
        assert "migrations" not in found


class TestQueue:
    def test_no_worker(self, db):
        assert only(queue.check_workers).status is Status.WARN

    def test_no_worker_while_rollouts_wait(self, db):
        wait(paused_at=timezone.now())
        assert only(queue.check_workers).status is Status.WARN
        wait()
        finding = only(queue.check_workers)
        assert finding.status is Status.FAIL
        assert "celery --app rlm_runs.celery worker" in finding.advice

    def test_workers_of_this_code(self, db):
        worker()
        found = list(queue.check_workers())
        assert [finding.status for finding in found] == [Status.OK, Status.OK]
        assert found[0].found == "1 alive, 2 rollouts running"

    def test_a_worker_of_other_code(self, db):
        worker(versions={"rlm_runs": "old"})
        _, versions = queue.check_workers()
        assert versions.status is Status.WARN
        assert "box:7" in versions.found

    def test_the_broker(self, monkeypatch):
        assert only(queue.check_broker).status is Status.OK
        monkeypatch.setattr(queue, "broker_problem", lambda: "refused")
        assert only(queue.check_broker).status is Status.WARN


class TestSandboxes:
    @pytest.mark.parametrize(("chosen", "status"), [("docker", Status.FAIL), ("auto", Status.WARN)])
    def test_an_engine_that_does_not_answer(self, settings, monkeypatch, chosen, status):
        def refuse():
            raise SandboxError("no container engine answers")

        settings.RLM_SANDBOX = chosen
        monkeypatch.setattr(sandboxes, "open_client", refuse)
        finding = only(sandboxes.check_engine)
        assert finding.status is status
        assert "DOCKER_HOST" in finding.advice

    def test_no_walls(self, settings):
        settings.RLM_SANDBOX = "process"
        finding = only(sandboxes.check_engine)
        assert finding.status is Status.WARN
        assert "without isolation" in finding.found

    @pytest.mark.docker
    def test_a_real_engine(self, db, settings):
        settings.RLM_SANDBOX = "docker"
        wait()
        Arm.objects.update(sandbox_image="rlm-sandbox:not-there")
        found = {finding.subject: finding for finding in sandboxes.check_engine()}
        assert found["sandbox engine"].found.startswith("Docker ")
        assert found["sandbox images"].status is Status.WARN
        assert "rlm-sandbox:not-there" in found["sandbox images"].found
        assert {"sandbox base image", "sandbox disk"} <= found.keys()


class _Models(BaseHTTPRequestHandler):
    """Answers GET /v1/models; only the key `right` opens it."""

    def do_GET(self):
        right = self.headers.get("Authorization") == "Bearer right" and self.path == "/v1/models"
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format, *args):
        pass


class TestEndpoints:
    @pytest.fixture
    def served(self, settings, tmp_path, monkeypatch):
        """An endpoints file with one endpoint, of a server that runs."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Models)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        settings.RLM_ENDPOINTS_FILE = tmp_path / "endpoints.toml"

        def write(address=f"http://127.0.0.1:{server.server_port}/v1", key="right"):
            settings.RLM_ENDPOINTS_FILE.write_text(
                f'[e]\ntitle = "E"\nbase_url = "{address}"\nkey_variable = "E_KEY"\nmodels = [{{ name = "m" }}]\n'
            )
            monkeypatch.setenv("E_KEY", key)

        yield write
        server.shutdown()
        server.server_close()
        thread.join()

    def test_one_that_answers(self, db, served):
        served()
        assert only(endpoints.check_endpoints).found == "127.0.0.1 answers"

    def test_a_key_that_is_missing_or_refused(self, db, served):
        served(key="")
        assert only(endpoints.check_endpoints).advice == "Set E_KEY where workers run."
        served(key="wrong-and-secret")
        finding = only(endpoints.check_endpoints)
        assert finding.status is Status.WARN
        assert finding.advice == "Correct E_KEY."
        assert "wrong-and-secret" not in finding.found

    def test_one_that_is_away_fails_where_rollouts_need_it(self, db, served):
        served(address="http://127.0.0.1:1/v1")
        assert only(endpoints.check_endpoints).status is Status.WARN
        wait()
        finding = only(endpoints.check_endpoints)
        assert finding.status is Status.FAIL
        assert "unfinished rollouts need it" in finding.found

    def test_a_broken_file(self, settings, tmp_path):
        settings.RLM_ENDPOINTS_FILE = tmp_path / "none.toml"
        assert only(endpoints.check_endpoints).status is Status.FAIL


@pytest.mark.parametrize(("free", "status"), [(60e9, Status.OK), (2e9, Status.WARN), (1e8, Status.FAIL)])
def test_disk(monkeypatch, tmp_path, free, status):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(1e12, 0, free))
    assert disk.free_space_finding("var", tmp_path, advice="Free space.").status is status


def test_a_check_that_breaks_is_a_finding_and_the_next_one_runs():
    def broken():
        raise RuntimeError("out of luck")

    first, second = findings.run([("a", broken), ("b", lambda: [findings.ok("b", "well")])])
    assert (first.status, second.status) == (Status.FAIL, Status.OK)
    assert "out of luck" in first.found


def examine_as(monkeypatch, *found):
    monkeypatch.setattr("rlm_runs.management.commands.doctor.examine", lambda: iter(found))


def test_the_command_says_what_to_do_and_fails(monkeypatch):
    examine_as(monkeypatch, findings.ok("a", "well"), findings.fail("b", "broken\n badly", advice="Mend it."))
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", stdout=out, no_color=True)
    assert ended.value.code == 1
    assert "ok   a" in out.getvalue()
    assert "broken badly\n" in out.getvalue()
    assert "→ Mend it." in out.getvalue()
    assert "1 of 2 checks failed" in out.getvalue()


def test_warnings_do_not_fail_and_json_has_all(monkeypatch):
    examine_as(monkeypatch, findings.warn("a", "slow", advice="Hurry."))
    out = io.StringIO()
    call_command("doctor", json=True, stdout=out)
    assert json.loads(out.getvalue()) == [{"subject": "a", "status": "warn", "found": "slow", "advice": "Hurry."}]


def test_without_its_migrations_no_table_is_read(db, monkeypatch):
    monkeypatch.setattr(database, "pending_migrations", lambda: ["a.1"])
    subjects = [finding.subject for finding in report.examine()]
    assert subjects[-1] == "migrations"
