"""A snapshot follows its experiment: it reads rollouts that ended since, and only those."""

import random
import sys

import numpy as np
import pytest
from django.utils import timezone

from rlm_runs.analysis.aggregates import snapshot as snapshot_of
from rlm_runs.analysis.aggregates.frame import Outcome, load, refresh
from rlm_runs.analysis.aggregates.measures import MEASURES
from rlm_runs.models import Rollout
from tests.factories.rollout_rows import Plan, make

pytestmark = pytest.mark.django_db

USUAL = [MEASURES[name] for name in ("reward", "main_tokens", "cost", "seconds")]


def running():
    """Three arms of twenty rollouts each; forty of the sixty are queued."""
    plans = [Plan(), Plan(scaffold="rlm"), Plan(scaffold="rlm_tips")]
    experiment = make(plans, examples=10, repetitions=2, row=lambda rng, arm, number: scored(number))
    ids = list(experiment.rollouts().order_by("pk").values_list("pk", flat=True))
    random.Random(3).shuffle(ids)
    queue(ids[:40])
    return experiment


def scored(number):
    return {"reward": number % 3 / 2, "main_prompt_tokens": 100 * number, "seconds": 1.5 * number, "cost": None}


def end(ids):
    for pk in ids:
        columns = scored(pk) | {"status": "completed", "stop_reason": "answer_ready"}
        Rollout.objects.filter(pk=pk).update(started_at=timezone.now(), finished_at=timezone.now(), **columns)


def queue(ids):
    Rollout.objects.filter(pk__in=ids).update(
        status="queued", stop_reason="", reward=None, seconds=None, started_at=None, finished_at=None
    )


def waiting(experiment):
    return list(experiment.rollouts().unfinished().order_by("pk").values_list("pk", flat=True))


def test_it_is_what_reading_all_of_it_would_be():
    experiment = running()
    arms = [arm.pk for arm in experiment.arms.all()]
    names = ["reward", "main_tokens", "sub_calls", "seconds", "cost"]
    ended = 0
    while left := waiting(experiment):
        before = snapshot_of(experiment).frame()
        end(left[:7])
        ended += len(left[:7])
        now = snapshot_of(experiment).frame()
        assert now is not before
        whole = load(arms, measures=[MEASURES[name] for name in names])
        assert (before["outcome"] == Outcome.UNFINISHED).sum() == len(left)
        for name in ("rollout", "arm", "example", "position", "repetition", "outcome", *names):
            known = now["outcome"] != Outcome.UNFINISHED
            assert np.array_equal(now[name][known], whole[name][known], equal_nan=True), name
    assert ended == 40


def test_only_what_ended_is_read(monkeypatch):
    experiment = running()
    frame = snapshot_of(experiment).frame([MEASURES["judge_cost"]])
    end(waiting(experiment)[:2])
    monkeypatch.setattr(sys.modules["rlm_runs.analysis.aggregates.snapshot"], "load", None)
    now = snapshot_of(experiment).frame([MEASURES["judge_cost"]])
    assert len(now) == len(frame)
    assert (now["outcome"] != frame["outcome"]).sum() == 2


def test_a_snapshot_that_nobody_read_is_no_gap(monkeypatch):
    experiment = running()
    snapshot_of(experiment).frame()
    for _ in range(3):
        end(waiting(experiment)[:1])
        snapshot_of(experiment)
    monkeypatch.setattr(sys.modules["rlm_runs.analysis.aggregates.snapshot"], "load", None)
    unfinished = snapshot_of(experiment).frame()["outcome"] == Outcome.UNFINISHED
    assert unfinished.sum() == len(waiting(experiment))


def test_what_is_known_of_examples_is_kept(django_assert_num_queries):
    experiment = running()
    found = snapshot_of(experiment)
    found.frame(), found.metadata_keys(), found.metadata("kind")
    end(waiting(experiment)[:1])
    now = snapshot_of(experiment)
    now.frame()
    with django_assert_num_queries(0):
        assert now.examples() == found.examples()
        now.metadata_keys(), now.metadata("kind")


@pytest.mark.parametrize("change", ["gone", "begun again", "come"])
def test_whatever_else_happened_all_is_read(change):
    experiment = running()
    frame = snapshot_of(experiment).frame(USUAL)
    ended = experiment.rollouts().exclude(pk__in=waiting(experiment)).first()
    if change == "gone":
        ended.delete()
    elif change == "begun again":
        queue([ended.pk])
    else:
        ended.pk, ended.repetition = None, 7
        ended.save(force_insert=True)
    unfinished = waiting(experiment)
    if change == "begun again":
        assert refresh(frame, unfinished=unfinished, measures=USUAL) is None
    now = snapshot_of(experiment).frame(USUAL)
    arms = [arm.pk for arm in experiment.arms.all()]
    assert now["rollout"].tolist() == load(arms, measures=[])["rollout"].tolist()
    assert (now["outcome"] == Outcome.UNFINISHED).sum() == len(unfinished)


def test_an_unfinished_rollout_that_went_away_is_noticed():
    experiment = running()
    frame = snapshot_of(experiment).frame(USUAL)
    Rollout.objects.filter(pk=waiting(experiment)[0]).delete()
    assert refresh(frame, unfinished=waiting(experiment), measures=USUAL) is None


def test_the_page_follows(client, django_user_model):
    client.force_login(django_user_model.objects.create(username="reader"))
    experiment = running()
    version = client.get(experiment.get_absolute_url()).context["version"]
    address = f"/experiments/{experiment.slug}/live/"
    assert client.get(address, {"version": version}).status_code == 204
    end(waiting(experiment)[:5])
    response = client.get(address, {"version": version})
    assert response.context["progress"].done == 25
    assert response.context["version"] != version
