"""Health, readiness and metrics answer without a login, and reveal nothing else."""

import pytest
from django.db import DatabaseError, connection

from dashboard.operations import views
from rlm_runs.observability import readiness

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(readiness._migrated, "done", False)
    monkeypatch.setattr(readiness, "_connect", lambda: None)


def test_a_migrated_database_is_ready(client):
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "ready": True,
        "checks": {"database": "ok", "migrations": "ok", "broker": "ok"},
    }


def test_applied_migrations_are_looked_up_once(client, django_assert_num_queries):
    client.get("/readyz")
    with django_assert_num_queries(1):
        client.get("/readyz")


def test_missing_migrations_are_counted(client, monkeypatch):
    monkeypatch.setattr(readiness, "pending_migrations", lambda: ["rlm_runs.0099", "rlm_runs.0100"])
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["migrations"] == "2 migrations are not applied"


def test_a_read_only_database_is_not_ready(client):
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "takes no writes" in response.json()["checks"]["database"]


def test_a_broker_that_is_away_delays_but_does_not_stop(client, monkeypatch):
    def refuse():
        raise ConnectionError("redis://:secret@broker:6379 refused")

    monkeypatch.setattr(readiness, "_connect", refuse)
    response = client.get("/readyz")
    assert response.status_code == 200
    assert "start a little later" in response.json()["checks"]["broker"]
    assert "secret" not in response.content.decode()


def test_the_broker_of_the_settings_answers(client, monkeypatch):
    monkeypatch.undo()
    assert readiness.broker_problem() == ""


def test_metrics_are_for_this_machine_unless_there_is_a_token(client, settings):
    settings.RLM_METRICS_TOKEN = ""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert "rlm_queue_depth" in response.content.decode()
    assert client.get("/metrics", REMOTE_ADDR="10.0.0.7").status_code == 403
    assert client.get("/metrics", headers={"X-Forwarded-For": "10.0.0.7"}).status_code == 403


def test_metrics_with_a_token(client, settings):
    settings.RLM_METRICS_TOKEN = "s3cret"
    assert client.get("/metrics").status_code == 403
    allowed = client.get("/metrics", headers={"Authorization": "Bearer s3cret"}, REMOTE_ADDR="10.0.0.7")
    assert allowed.status_code == 200


def test_metrics_without_a_database_are_503(client, monkeypatch):
    def fail(_):
        raise DatabaseError("canceling statement due to statement timeout")

    monkeypatch.setattr(views, "choose_encoder", lambda _: (fail, "text/plain"))
    assert client.get("/metrics").status_code == 503
