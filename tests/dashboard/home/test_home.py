"""Home: running experiments, recent results, spend, and the health of workers and models."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from dashboard.home.spend import DAYS, spend
from rlm_runs.analysis import aggregates
from rlm_runs.models import Circuit, ModelHour, Rollout, SpendDay, WorkerProcess
from tests.factories.traces import make_experiment


def html(reader):
    response = reader.get("/")
    assert response.status_code == 200
    return response.content.decode()


def data(reader):
    return reader.get("/api/home/").json()


def spent(experiment, *, days=0, model="m", cost="1", unpriced=0):
    day = timezone.now().date() - timedelta(days=days)
    SpendDay.objects.create(day=day, experiment=experiment, model=model, calls=1, cost=cost, unpriced=unpriced)


def test_an_empty_store_shows_three_first_steps(reader):
    page = html(reader)
    for words in (
        "First steps",
        "manage.py launch --preset oolong-subsets",
        "manage.py import_runs",
        "make demo",
        "/launch/",
    ):
        assert words in page, words
    assert "Recent results" not in page


def test_a_running_experiment_has_its_progress_rate_and_cost(reader, queued):
    now = timezone.now()
    first, second, third = queued.rollouts()[:3]
    ended = {"started_at": now, "finished_at": now}
    Rollout.objects.filter(pk=first.pk).update(status="completed", stop_reason="answer_ready", reward=1, **ended)
    Rollout.objects.filter(pk=second.pk).update(status="failed", stop_reason="prompt_too_long", **ended)
    Rollout.objects.filter(pk=third.pk).update(status="failed", stop_reason="error", **ended)
    spent(queued, cost="1.25")
    spent(queued, days=40, cost="0.25")
    (found,) = data(reader)["running"]
    expected = aggregates.progress(queued)
    assert (found["done"], found["total"]) == (expected.done, expected.total) == (3, queued.rollouts().count())
    assert (found["failed"], found["too_long"]) == (expected.failed, expected.too_long) == (1, 1)
    assert found["per_minute"] > 0
    assert found["seconds_left"] > 0
    assert Decimal(found["cost"]) == Decimal("1.5")
    assert found["state"] == "queued"
    page = html(reader)
    assert "1 too long" in page
    assert "$1.50" in page


def test_an_experiment_that_ended_has_the_headline_of_its_page(reader, played):
    (found,) = data(reader)["results"]
    summary = aggregates.summary(aggregates.snapshot(played))
    means = {arm.series: arm.reward.mean for arm in summary.arms if arm.reward}
    assert found["best"]["reward"] == max(means.values())
    tested = [each for each in summary.comparisons if each.paired and each.p is not None]
    assert found["ahead"] + found["behind"] + found["undecided"] == len(tested)
    if tested:
        assert found["strongest"]["p"] == min(each.p for each in tested)
    assert data(reader)["running"] == []
    assert played.name in html(reader)


def test_a_headline_is_made_anew_when_the_experiment_changes(reader, played):
    before = data(reader)["results"][0]["best"]["reward"]
    Rollout.objects.filter(experiment=played, reward__isnull=False).update(reward=0)
    assert data(reader)["results"][0]["best"]["reward"] == before
    type(played).objects.filter(pk=played.pk).update(revision=played.revision + 1)
    assert data(reader)["results"][0]["best"]["reward"] == 0


def test_a_cancelled_and_an_archived_experiment_do_not_run(reader, queued):
    other = make_experiment(name="archived")
    type(queued).objects.filter(pk=queued.pk).update(cancelled_at=timezone.now())
    type(queued).objects.filter(pk=other.pk).update(archived_at=timezone.now())
    assert data(reader)["running"] == []


def test_spend_is_summed_by_model_and_by_experiment(queued, played):
    other = make_experiment(name="other")
    spent(queued, model="a", cost="2")
    spent(queued, model="b", cost="1", days=1, unpriced=3)
    spent(other, model="a", cost="4", days=8)
    spent(other, model="a", cost="100", days=DAYS)
    found = spend(timezone.now().date())
    assert {each.name: each.total for each in found.by_model} == {"a": 6, "b": 1}
    assert {each.name: each.total for each in found.by_experiment} == {queued.name: 3, "other": 4}
    assert (found.today, found.week, found.total, found.unpriced) == (2, 3, 7, 3)


@pytest.mark.django_db
def test_many_series_and_deleted_experiments_are_one(queued):
    for number in range(9):
        spent(queued, model=f"m{number}", cost=str(number + 1))
    found = spend(timezone.now().date())
    assert [each.name for each in found.by_model] == ["m8", "m7", "m6", "m5", "m4", "4 others"]
    assert sum(each.total for each in found.by_model) == 45
    SpendDay.objects.filter(model="m8").update(experiment=queued.pk + 1_000)
    names = {each.name: each.total for each in spend(timezone.now().date()).by_experiment}
    assert names == {queued.name: 36, "deleted": 9}


def test_the_health_of_workers_and_models(reader, queued):
    now = timezone.now()
    WorkerProcess.objects.create(
        name="gpu:1", host="gpu", pid=1, started_at=now, last_seen_at=now, capacity={"concurrency": 7}, running=2
    )
    WorkerProcess.objects.create(
        name="gone:1", host="gone", pid=1, started_at=now, last_seen_at=now - timedelta(hours=1)
    )
    ModelHour.objects.create(model="good", hour=now, calls=100, errors=1, last_at=now)
    ModelHour.objects.create(model="bad", hour=now, calls=100, errors=30, last_at=now)
    Circuit.objects.create(model="down", opened_at=now, error="<b>503</b>")
    found = data(reader)
    assert found["workers"] == {"alive": 1, "lost": 1, "running": 0}
    assert [each["model"] for each in found["models"]] == ["down", "bad", "good"]
    page = html(reader)
    assert page.count("failing") >= 2
    assert "<b>503</b>" not in page


def test_home_sends_only_what_changed(reader, queued):
    page = reader.get("/")
    version = page.context["version"]
    assert reader.get("/home/live/", {"version": version}).status_code == 204
    spent(queued, cost="9")
    assert "$9.00" in reader.get("/home/live/", {"version": version}).content.decode()


def test_home_costs_the_same_however_many_rollouts_there_are(reader, played, django_assert_max_num_queries):
    reader.get("/")
    with django_assert_max_num_queries(22):
        reader.get("/")
