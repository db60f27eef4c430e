"""Control by page and by API: each action says first what it will do, in numbers, and does it when confirmed."""

from __future__ import annotations

import json
import re

import pytest
from django.urls import reverse

from rlm_runs.execution import deletion, queue
from rlm_runs.experiments.actions import ACTIONS
from rlm_runs.experiments.launch import launch
from rlm_runs.models import Attempt, Experiment, Rescoring, Rollout
from tests.factories.traces import HOSTILE

SPEC = {
    "name": "lab",
    "examples": 2,
    "models": ["demo-model"],
    "scaffolds": ["llm"],
    "environments": ["verbatim-copy"],
}
JSON = "application/json"


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)


@pytest.fixture
def lab(db):
    return launch(SPEC)


def page(reader, experiment, action="", **query):
    name, args = (
        ("experiment-action", [experiment.slug, action]) if action else ("experiment-control", [experiment.slug])
    )
    response = reader.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def post(reader, experiment, action, **data):
    return reader.post(reverse("experiment-action", args=[experiment.slug, action]), data)


def call(reader, experiment, **body):
    address = reverse("api-experiment-control", args=[experiment.slug])
    response = reader.post(address, json.dumps(body), content_type=JSON)
    return response.status_code, json.loads(response.content)


def test_the_page_lists_what_can_be_done_now(reader, played):
    found = page(reader, played)
    listed = set(re.findall(r"/control/([\w-]+)/", found))
    assert listed == set(ACTIONS) - {"resume", "unarchive", "pause", "cancel", "run-decided"}


def test_a_retry_says_how_many_and_what_it_may_cost_and_asks(reader, played):
    failed = (
        played.rollouts()
        .filter(status="failed")
        .exclude(stop_reason__in=["prompt_too_long", "unjudged", "scoring_error"])
    )
    count = failed.count()
    assert count
    said = page(reader, played, "retry")
    assert f"{count} rollout" in said
    assert "estimated cost" in said
    assert Attempt.objects.count() == 0
    post(reader, played, "retry")  # not confirmed
    assert Attempt.objects.count() == 0
    response = post(reader, played, "retry", confirm="yes")
    assert response.url == reverse("experiment-control", args=[played.slug])
    assert Attempt.objects.count() == count
    assert played.actions.first().actor == "ada"


def test_the_old_attempt_stays_readable_in_the_replay(reader, played):
    rollout = played.rollouts().filter(status="failed").exclude(stop_reason="prompt_too_long").first()
    error = rollout.error
    post(reader, played, "retry", outcomes=["failed", "unjudged"], rollouts=str(rollout.pk), confirm="yes")
    address = rollout.get_absolute_url()
    waiting = reader.get(address).content.decode()
    assert "waits for a worker" in waiting
    before = reader.get(f"{address}?attempt=1").content.decode()
    assert "was retried" in before
    assert rollout.stop_reason in before
    assert not error or error[:30] in before


def test_options_narrow_what_is_said(reader, played):
    everything = page(reader, played, "rescore")
    arm = played.arms.first()
    one = page(reader, played, "rescore", arm=arm.pk)
    numbers = [int(re.search(r"(\d+) stored answer", text)[1]) for text in (everything, one)]
    assert numbers[0] > numbers[1] > 0
    post(reader, played, "rescore", arm=arm.pk, confirm="yes")
    assert set(Rescoring.objects.values_list("rollout__arm", flat=True)) == {arm.pk}
    assert "waiting to be scored" in page(reader, played)


def test_adding_from_the_page(reader, lab):
    said = page(reader, lab, "add", examples="3", repetitions="1", scaffolds="rlm")
    assert "4 rollouts are added" in said
    post(reader, lab, "add", examples="3", repetitions="1", scaffolds=["rlm"], confirm="yes")
    assert lab.rollouts().count() == 6


def test_what_cannot_be_done_says_why(reader, lab):
    response = post(reader, lab, "add", examples="1", confirm="yes")
    assert response.status_code == 422
    assert "it has 2 examples already" in response.content.decode()
    response = post(reader, lab, "priority", value="500")
    assert response.status_code == 422
    assert "from -100 to 100, not 500" in response.content.decode()


def test_the_priority_is_set(reader, lab):
    assert post(reader, lab, "priority", value="7").status_code == 302
    lab.refresh_from_db()
    assert lab.priority == 7


def test_archived_experiments_are_left_out_of_lists_unless_asked_for(reader, played):
    post(reader, played, "archive")
    assert played.name not in reader.get("/experiments/").content.decode()
    assert played.name in reader.get("/experiments/?status=archived").content.decode()
    assert json.loads(reader.get("/api/rollouts/").content)["rows"] == []
    assert reader.get(played.get_absolute_url()).status_code == 200
    post(reader, played, "unarchive")
    assert played.name in reader.get("/experiments/").content.decode()


def test_a_deleted_experiment_is_gone_at_once_and_its_rows_soon(reader, played):
    rollout = played.rollouts().first()
    said = page(reader, played, "delete")
    assert f"<dd>{played.rollouts().count()}</dd>" in said
    assert "cannot be undone" in said
    post(reader, played, "delete")
    assert Experiment.objects.exists()
    assert post(reader, played, "delete", confirm="yes").url == "/experiments/"
    assert played.name not in reader.get("/experiments/").content.decode()
    for address in (played.get_absolute_url(), rollout.get_absolute_url(), f"/api/rollouts/{rollout.pk}/"):
        assert reader.get(address).status_code == 404
    assert json.loads(reader.get("/api/rollouts/").content)["rows"] == []
    deletion.remove_all()
    assert not Rollout.objects.exists()


def test_the_launch_form_is_filled_with_the_stored_spec(reader, db):
    spec = {
        **SPEC,
        "seed": 11,
        "scaffolds": ["llm", {"name": "rlm", "max_turns": 5}, {"name": "rlm", "max_turns": 9}],
        "environments": [{"name": "oolong", "context_length_max": 6000, "context_length_min": 3000}],
        "sampling": {"temperature": 0.5},
    }
    experiment = launch(spec)
    form = reader.get("/launch/", {"clone": experiment.slug})
    assert form.status_code == 200
    text = form.content.decode()
    assert 'value="5, 9"' in text
    assert "cannot show" not in text
    fields = dict(re.findall(r'<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"', text))
    assert (fields["seed"], fields["sampling.temperature"]) == ("11", "0.5")


def test_a_spec_that_the_form_cannot_show_says_so(reader, db):
    scaffolds = [{"name": "rlm", "max_turns": 5, "depth": 0}, {"name": "rlm", "max_turns": 9, "depth": 1}]
    experiment = launch({**SPEC, "scaffolds": scaffolds})
    assert "cannot show" in reader.get("/launch/", {"clone": experiment.slug}).content.decode()


def test_the_api_asks_with_409_and_does_it_when_confirmed(reader, lab):
    status, answer = call(reader, lab, action="delete")
    assert (status, answer["numbers"]["rollouts"]) == (409, 2)
    assert Experiment.objects.exists()
    status, answer = call(reader, lab, action="delete", confirm=True)
    assert (status, answer["done"]) == (200, "deleted; workers remove its rows")
    assert not Experiment.objects.exists()


def test_the_api_takes_options(reader, lab):
    body = {"examples": 3, "scaffolds": [{"name": "rlm", "max_turns": 3}]}
    status, answer = call(reader, lab, action="add", **body)
    assert (status, answer["numbers"]["rollouts"], answer["numbers"]["new arms"]) == (409, 4, 1)
    assert call(reader, lab, action="add", confirm=True, **body)[0] == 200
    assert lab.rollouts().count() == 6
    assert call(reader, lab, action="pause") == (
        200,
        {"action": "pause", "experiment": "lab", "done": "paused, priority 0"},
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "action must be one of"),
        ({"action": "explode"}, "action must be one of"),
        ({"action": "retry", "outcomes": ["sad"]}, "unknown outcome"),
        ({"action": "retry", "nonsense": 1}, "Extra inputs are not permitted"),
        ({"action": "priority", "value": 500}, "not 500"),
        ({"action": "rescore", "judge_model": HOSTILE}, "there is no model"),
    ],
)
def test_the_api_says_what_is_wrong(reader, lab, body, said):
    status, answer = call(reader, lab, **body, confirm=True)
    assert status == 422
    assert said in answer["error"]


def test_the_api_refuses_what_is_not_an_object(reader, lab):
    address = reverse("api-experiment-control", args=[lab.slug])
    for body in ("[]", "{", "1"):
        assert reader.post(address, body, content_type=JSON).status_code == 422


def test_the_api_lists_the_actions_with_their_options(reader, lab):
    answer = json.loads(reader.get(reverse("api-experiment-control", args=[lab.slug])).content)
    by_name = {each["action"]: each for each in answer["actions"]}
    assert set(by_name) == set(ACTIONS)
    assert by_name["retry"]["asks"]
    assert not by_name["pause"]["asks"]
    assert "outcomes" in by_name["retry"]["options"]
