"""The log of an experiment: its section and its JSON."""

from __future__ import annotations

import json

from rlm_runs.execution import control
from rlm_runs.execution.experiment_log import WORKER, record_action
from tests.factories.traces import HOSTILE


def test_the_page_says_who_when_and_what(reader, queued):
    record_action(queued, action="arms paused", actor=WORKER, details={"endpoint": "openai", "rollouts": 1200})
    page = reader.get(f"/experiments/{queued.slug}/log/").content.decode()
    for said in ("worker", "arms paused", "endpoint", "openai", "1,200", "<time"):
        assert said in page


def test_the_experiment_page_leads_to_it(reader, queued):
    control.pause(queued, actor="grace")
    page = reader.get(queued.get_absolute_url()).content.decode()
    assert f'<a href="/experiments/{queued.slug}/log/">Log</a>' in page
    log = reader.get(f"/experiments/{queued.slug}/log/").content.decode()
    assert f'<a href="/experiments/{queued.slug}/log/" aria-current="page">Log</a>' in log
    assert "grace" in log
    assert "paused" in log


def test_buttons_record_who_pressed_them(reader, queued, ada):
    for action in ("pause", "resume", "cancel"):
        reader.post(f"/experiments/{queued.slug}/{action}/")
    said = queued.actions.order_by("pk").values_list("actor", "action")
    assert list(said) == [("ada", "paused"), ("ada", "resumed"), ("ada", "cancelled")]


def test_it_goes_on_page_by_page(reader, queued):
    for number in range(5):
        record_action(queued, action=f"action {number}", actor="ada")
    first = json.loads(reader.get(f"/api/experiments/{queued.slug}/log/?limit=3").content)
    assert [row["action"] for row in first["rows"]] == ["action 4", "action 3", "action 2"]
    second = json.loads(reader.get(first["next"]).content)
    assert [row["action"] for row in second["rows"]] == ["action 1", "action 0"]
    assert second["next"] is None
    assert reader.get(f"/api/experiments/{queued.slug}/log/?after=nonsense").status_code == 400


def test_hostile_details_are_escaped(reader, queued):
    record_action(queued, action=HOSTILE[:40], actor=HOSTILE, details={HOSTILE: HOSTILE})
    page = reader.get(f"/experiments/{queued.slug}/log/").content.decode()
    assert "<script>alert" not in page
    assert "\u202e" not in page
