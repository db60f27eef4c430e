"""The JSON API of experiments and rollouts."""

import csv
import io

from rlm_runs.models import Experiment
from tests.factories.traces import make_experiment, play_hostile


def test_an_experiment_has_its_arms_in_numbers(reader, played):
    said = reader.get(f"/api/experiments/{played.slug}/").json()
    assert said["name"] == played.name
    assert said["progress"]["total"] == 9
    assert [arm["scaffold"] for arm in said["arms"]] == ["llm", "rlm", "rlm_tips"]
    assert said["arms"][0]["reward"]["n"] == 2
    assert reader.get(said["rollouts"]).json()["count"] == 9
    assert reader.get("/api/experiments/nothing/").status_code == 404


def test_a_rollout_has_its_tree_with_texts_cut(reader, played):
    rollout = played.rollouts().filter(arm__scaffold="rlm_tips").first()
    said = reader.get(f"/api/rollouts/{rollout.pk}/").json()
    assert said["row"]["id"] == rollout.pk
    assert said["metrics"] == rollout.metrics
    root, *subs = said["trajectories"]
    assert root["kind"] == "root"
    assert root["parent"] is None
    executions = [execution["id"] for turn in root["turns"] for execution in turn["executions"]]
    assert subs
    assert {sub["parent"] for sub in subs} <= set(executions)
    assert len(root["turns"]) == rollout.turns
    assert not said["is_cut"]
    long = [execution["shown"] for turn in root["turns"] for execution in turn["executions"]]
    assert any(len(text["text"]) < text["chars"] for text in long)


def test_a_monster_is_answered_within_bounds(reader, queued):
    rollout = queued.rollouts().filter(arm__scaffold="rlm").first()
    play_hostile(rollout, turns=160)
    response = reader.get(f"/api/rollouts/{rollout.pk}/")
    assert len(response.content) < 256_000
    assert response.json()["is_cut"]


def test_experiments_as_json_and_csv(reader, played):
    for number in range(30):
        make_experiment(name=f"number {number:02d}", examples=1, scaffolds=("llm",))
    make_experiment(name="=1+1", examples=1, scaffolds=("llm",))
    address, seen = "/api/experiments/?sort=name&limit=7", []
    while address:
        answer = reader.get(address).json()
        seen += [row["slug"] for row in answer["rows"]]
        address = answer["next"]
    assert seen == list(Experiment.objects.order_by("name", "pk").values_list("slug", flat=True))
    text = b"".join(reader.get("/experiments.csv?sort=name").streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["slug"] for row in rows] == seen
    assert "'=1+1" in {row["name"] for row in rows}
    (row,) = [row for row in rows if row["slug"] == played.slug]
    assert (row["arms"], row["rollouts"], row["done"], row["failed"]) == ("3", "9", "9", "1")
    assert len(reader.get("/api/experiments/?q=number+1").json()["rows"]) == 10


def test_what_is_wrong_is_said(reader, played):
    for address in ("/api/experiments/", "/experiments.csv"):
        assert reader.get(f"{address}?status=sideways").json()["parameter"] == "status"
        assert reader.get(f"{address}?sort=cost").json()["allowed"] == ["name", "launched"]
    assert reader.get("/api/experiments/?after=x").status_code == 400
    assert "no column to sort by" in reader.get("/experiments/?sort=cost").content.decode()


def test_a_row_is_summed_up_anew_when_something_ends(reader, queued):
    before = reader.get("/api/experiments/").json()["rows"][0]
    play_hostile(queued.rollouts().filter(arm__scaffold="rlm").first())
    after = reader.get("/api/experiments/").json()["rows"][0]
    assert (before["done"], after["done"]) == (0, 1)


def test_the_list_costs_less_while_nothing_changes(reader, played, django_assert_num_queries):
    reader.get("/experiments/")
    # Session, user, experiments, their tags, whether anything changed, and the tags and owners of the filter.
    with django_assert_num_queries(7):
        reader.get("/experiments/")
