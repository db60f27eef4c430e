"""docker-compose.yml as an operator starts it: images from Debian packages, real Postgres, Redis and sandboxes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.compose]

SPEC = """\
name = "compose"
examples = 2
seed = 1
models = ["demo-model"]
scaffolds = ["llm", "rlm"]
environments = ["verbatim-copy"]
"""
ROLLOUTS = """\
import json
from rlm_runs.models import Rollout
columns = ("status", "sandbox_backend", "arm__scaffold")
print(json.dumps(list(Rollout.objects.order_by("pk").values_list(*columns))))
"""


def get(address, **headers):
    """(status, body)."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
    except OSError:
        return 0, ""


def rollouts(installation):
    return json.loads(installation.manage("shell", "--no-imports", "-c", ROLLOUTS).splitlines()[-1])


def is_ready(installation):
    return get(f"{installation.address}/readyz")[0] == 200


def check_services(installation):
    assert json.loads(get(f"{installation.address}/readyz")[1])["checks"] == {
        "database": "ok",
        "migrations": "ok",
        "broker": "ok",
    }

    def found():
        text = installation.manage("doctor", "--json", check=False)
        return {finding["subject"]: finding for finding in json.loads(text[text.index("[") :])}

    installation.wait_for(lambda: "worker versions" in found(), what="no worker registers")
    subjects = found()
    assert not [finding for finding in subjects.values() if finding["status"] == "fail"]
    assert subjects["worker versions"]["found"] == "all of-the-tes"
    assert subjects["broker"]["found"] == "redis"
    assert subjects["endpoint demo"]["status"] == "ok"


def check_experiment(installation):
    installation.compose("exec", "-T", "worker", "sh", "-c", "cat > /tmp/spec.toml", stdin=SPEC)
    assert "4 rollouts" in installation.manage("launch", "/tmp/spec.toml")

    def have_ended():
        return {status for status, _, _ in rollouts(installation)} == {"completed"}

    installation.wait_for(have_ended, what=f"rollouts do not end: {rollouts(installation)}", seconds=120)
    assert {backend for _, backend, scaffold in rollouts(installation) if scaffold == "rlm"} == {"docker"}
    status, text = get(f"{installation.address}/metrics", Authorization="Bearer metrics-of-the-tests")
    assert status == 200
    assert 'rlm_rollouts{status="completed"} 4.0' in text
    assert "rlm_workers_alive 1.0" in text
    assert get(f"{installation.address}/metrics")[0] == 403
    scraped = installation.compose(
        *("exec", "-T", "web", "python", "-c"),
        "import urllib.request as r; print(r.urlopen(r.Request('http://worker:9100/metrics',"
        " headers={'Authorization': 'Bearer metrics-of-the-tests'})).read().decode())",
    )
    assert 'rlm_worker_rollouts_ended_total{boundary="none"} 4.0' in scraped


def check_logs(installation):
    lines = installation.compose("logs", "--no-color", "web").splitlines()
    records = [json.loads(line.partition("|")[2]) for line in lines if '"event"' in line]
    assert any(record.get("path") == "/readyz" and record["status"] == 200 for record in records)


def check_users(installation):
    for service in ("web", "worker"):
        assert installation.compose("exec", "-T", service, "id", "-u").strip() == "10001"


def test_an_installation(installation):
    """One test, so that parallel test processes start one installation."""
    installation.wait_for(lambda: is_ready(installation), what="the web server is not ready")
    check_services(installation)
    check_experiment(installation)
    check_logs(installation)
    check_users(installation)
