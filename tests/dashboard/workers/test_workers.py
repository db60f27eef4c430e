"""The Workers page says which processes run which rollouts, and since when."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from dashboard.workers import overview as overviews
from dashboard.workers.overview import State, overview
from rlm_runs.execution.code_version import code_version
from rlm_runs.models import Rollout, WorkerProcess


def worker(name="box:7", *, seen=0, stopped=None, **changes):
    now = timezone.now()
    host, _, pid = name.partition(":")
    columns = {
        "host": host,
        "pid": int(pid),
        "started_at": now - timedelta(hours=3),
        "last_seen_at": now - timedelta(seconds=seen),
        "stopped_at": stopped,
        "capacity": {"concurrency": 100, "containers": 40},
        "versions": {"rlm_runs": code_version(), "python": "3.11.9"},
        "sandbox_backend": "docker",
    }
    return WorkerProcess.objects.create(name=name, **columns | changes)


def run(experiment, count, *, on, minutes=4):
    """Lets a worker run the next `count` queued rollouts, the first for the longest time."""
    now = timezone.now()
    rollouts = list(experiment.rollouts().filter(status="queued").order_by("pk")[:count])
    for number, rollout in enumerate(rollouts):
        Rollout.objects.filter(pk=rollout.pk).update(
            status="running", worker=on, attempt=2, started_at=now - timedelta(minutes=minutes - number)
        )
    return rollouts


def page(reader, name="workers", **query):
    return reader.get(reverse(name), query).content.decode()


def test_without_a_worker_the_page_says_how_to_start_one(reader):
    text = page(reader)
    assert "No worker runs" in text
    assert "celery --app rlm_runs.celery worker" in text
    assert "<table>" not in text


def test_a_worker_shows_what_it_runs_and_since_when(reader, queued):
    worker()
    rollouts = run(queued, 2, on="box:7")
    text = page(reader)
    assert "No worker runs" not in text
    for part in ("box", "alive", "3 h ago", "concurrency 100", "containers 40", "docker", "1 worker alive"):
        assert part in text, part
    assert 'href="#rollouts-1">2</a>' in text
    for rollout, age in zip(rollouts, ("4 m 00 s", "3 m 00 s"), strict=True):
        row = text.split(f'href="{rollout.get_absolute_url()}"')[1].split("</tr>")[0]
        assert age in row
        assert queued.get_absolute_url() in row
    assert "differs" not in text


def test_states(db, queued, settings):
    settings.RLM_LEASE_SECONDS = 30
    now = timezone.now()
    worker("z:1")
    worker("a:2")
    worker("lost:3", seen=60)
    worker("stopped:4", seen=50, stopped=now)
    run(queued, 1, on="lost:3")
    run(queued, 1, on="ghost:5")
    found = overview()
    assert [(each.name, each.state, each.rollout_count) for each in found.workers] == [
        ("a:2", State.ALIVE, 0),
        ("z:1", State.ALIVE, 0),
        ("stopped:4", State.STOPPED, 0),
        ("lost:3", State.LOST, 1),
        ("ghost:5", State.UNKNOWN, 1),
    ]
    assert (len(found.alive), found.running) == (2, 2)


def test_a_worker_of_another_version_is_marked(reader):
    worker(versions={"rlm_runs": "0123456789abcdef"})
    text = page(reader)
    assert "0123456789</code>" in text
    assert "differs" in text


def test_a_worker_without_walls_is_marked(reader):
    worker(sandbox_backend="process")
    assert "no walls" in page(reader)


def test_what_a_worker_runs_beyond_the_first_is_counted(reader, queued, monkeypatch):
    monkeypatch.setattr(overviews, "ROLLOUTS_PER_WORKER", 2)
    worker()
    oldest = run(queued, 5, on="box:7")
    found = overview().workers[0]
    assert [each.pk for each in found.rollouts] == [each.pk for each in oldest[:2]]
    assert (found.rollout_count, found.unlisted) == (5, 3)
    assert "3 more rollouts" in page(reader)


@pytest.mark.parametrize("count", [1, 8])
def test_the_number_of_queries_does_not_grow(queued, django_assert_num_queries, count):
    worker("a:1")
    worker("b:2")
    run(queued, count, on="a:1")
    with django_assert_num_queries(4):
        overview()


def test_the_page_is_sent_again_only_after_a_change(reader, queued):
    worker()
    text = page(reader)
    version = text.split("?version=")[1].split('"')[0]
    live = reader.get(reverse("workers-live"), {"version": version})
    assert live.status_code == 204
    run(queued, 1, on="box:7")
    live = reader.get(reverse("workers-live"), {"version": version})
    assert live.status_code == 200
    assert 'hx-swap-oob="true"' in live.content.decode()
    assert "Running rollouts" in live.content.decode()


def test_names_are_escaped(reader, queued):
    worker("<b>box</b>:7")
    run(queued, 1, on="<i>ghost</i>:1")
    text = page(reader)
    assert "<b>box" not in text
    assert "<i>ghost" not in text


def test_the_json_has_the_same(reader, queued):
    worker()
    worker("gone:9", seen=999)
    rollout = run(queued, 1, on="box:7")[0]
    answer = reader.get(reverse("api-workers")).json()
    assert answer["running"] == 1
    first, second = answer["workers"]
    assert (first["name"], first["state"], first["running"]) == ("box:7", "alive", 1)
    assert first["capacity"] == {"concurrency": 100, "containers": 40}
    (row,) = first["rollouts"]
    assert (row["id"], row["experiment"], row["attempt"]) == (rollout.pk, queued.slug, 2)
    assert row["seconds"] == pytest.approx(240, abs=5)
    assert (second["state"], second["rollouts"]) == ("lost", [])
