"""The store's metrics equal what SQL says of the rows, and read only what changed."""

from decimal import Decimal

import pytest
from django.db.models import Sum
from django.utils import timezone
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from rlm_runs.models import Arm, Experiment, Rollout, WorkerProcess
from rlm_runs.observability import store_metrics, store_totals
from tests.factories import rollout_rows


@pytest.fixture(autouse=True)
def fresh():
    store_totals.forget()
    yield
    store_totals.forget()


@pytest.fixture
def scrape(monkeypatch):
    """Scrapes now: {(name, *label values in the order of their names): value}."""
    monkeypatch.setattr(store_totals, "FRESH_SECONDS", -1.0)

    def read():
        text = generate_latest(store_metrics.REGISTRY).decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for sample in samples
        }

    return read


def total(column):
    return Rollout.objects.aggregate(n=Sum(column))["n"] or 0


def test_an_empty_store_has_zeros(db, scrape):
    found = scrape()
    assert found["rlm_queue_depth", "0"] == 0
    assert found["rlm_rollouts", "completed"] == 0
    assert found["rlm_workers_alive",] == 0
    assert found["rlm_database_connection_limit",] > 0
    assert sum(value for key, value in found.items() if key[0] == "rlm_database_connections") >= 1


def test_sums_are_those_of_the_rows(played, scrape):
    found = scrape()
    for status in Rollout.Status.values:
        assert found["rlm_rollouts", status] == Rollout.objects.filter(status=status).count()
    assert found["rlm_model_calls", "demo-model", "main"] == total("turns")
    assert found["rlm_model_calls", "demo-model", "sub"] == total("sub_turns")
    assert found["rlm_tokens", "prompt", "demo-model", "main"] == total("main_prompt_tokens")
    assert found["rlm_tokens", "completion", "demo-model", "sub"] == total("sub_completion_tokens")
    assert found["rlm_cells", "demo-model"] == total("cells")
    assert found["rlm_cost_dollars", "demo-model", "last_attempt"] == pytest.approx(float(total("cost")))
    unpriced = Rollout.objects.filter(cost=None, finished_at__isnull=False).count()
    assert found.get(("rlm_unpriced_rollouts", "demo-model"), 0) == unpriced
    for boundary in set(Rollout.objects.filter(status="failed").values_list("error_boundary", flat=True)):
        n = Rollout.objects.filter(status="failed", error_boundary=boundary).count()
        assert found["rlm_rollout_failures", boundary or "none"] == n


def test_sub_calls_count_for_the_model_that_made_them(played, scrape):
    Arm.objects.update(sub_model="small")
    found = scrape()
    assert found["rlm_model_calls", "small", "sub"] == total("sub_turns")
    assert ("rlm_model_calls", "demo-model", "sub") not in found


def test_the_queue_by_priority_leaves_paused_experiments_out(db, scrape):
    def queue(**columns):
        made = rollout_rows.make(
            [rollout_rows.Plan()], examples=3, row=lambda *_: {"status": "queued", "stop_reason": ""}
        )
        Experiment.objects.filter(pk=made.pk).update(**columns)

    queue(priority=5)
    queue(priority=5)
    queue(priority=-1)
    queue(paused_at=timezone.now())
    found = scrape()
    assert (found["rlm_queue_depth", "5"], found["rlm_queue_depth", "-1"]) == (6, 3)
    assert found["rlm_queue_paused",] == 3
    assert found["rlm_rollouts", "queued"] == 12


def test_only_experiments_that_changed_are_summed_up_again(played, scrape, monkeypatch):
    other = rollout_rows.make([rollout_rows.Plan()])
    summed = []
    sums_of = store_totals._sums_of
    monkeypatch.setattr(store_totals, "_sums_of", lambda part: summed.append(sorted(part)) or sums_of(part))
    scrape()
    scrape()
    rollout = other.rollouts().filter(status="completed").first()
    Rollout.objects.filter(pk=rollout.pk).update(finished_at=timezone.now(), cost=Decimal("100"))
    found = scrape()
    assert summed == [sorted([played.pk, other.pk]), [other.pk]]
    assert found["rlm_cost_dollars", "m", "last_attempt"] > 100
    other.delete()
    assert not any("m" in key[1:] for key in scrape())


def test_scrapes_within_seconds_share_their_queries(played, django_assert_num_queries):
    generate_latest(store_metrics.REGISTRY)
    with django_assert_num_queries(0):
        generate_latest(store_metrics.REGISTRY)


def test_the_number_of_queries_does_not_grow(db, scrape, django_assert_max_num_queries):
    for _ in range(6):
        rollout_rows.make([rollout_rows.Plan()], examples=2)
    with django_assert_max_num_queries(13):
        scrape()


def test_models_beyond_the_largest_share_a_label(db, scrape, monkeypatch):
    monkeypatch.setattr(store_metrics, "_MOST_MODELS", 2)
    rollout_rows.make([rollout_rows.Plan(model=f"m{n}") for n in range(5)])
    names = {key[1] for key in scrape() if key[0] == "rlm_cost_dollars"}
    assert len(names) == 3
    assert "other" in names


def test_workers_alive(db, scrape):
    now = timezone.now()
    WorkerProcess.objects.create(name="a:1", host="a", pid=1, started_at=now, last_seen_at=now)
    WorkerProcess.objects.create(name="b:2", host="b", pid=2, started_at=now, last_seen_at=now, stopped_at=now)
    assert scrape()["rlm_workers_alive",] == 1
