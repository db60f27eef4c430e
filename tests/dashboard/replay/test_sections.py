"""Sections of a replay: each answers within its limits, and says what a rollout lacks."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from rlm_runs.models import Rollout, Turn
from tests.factories.traces import Story, play_hostile, play_rlm

SECTIONS = (
    *("rollout-timeline", "rollout-flame", "rollout-context", "rollout-answer", "rollout-variables"),
    *("rollout-input", "rollout-diagnosis"),
)


@pytest.fixture
def rollout(queued):
    found = queued.rollouts().filter(arm__scaffold="rlm").first()
    play_rlm(found)
    return found


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_has_the_tabs_and_no_more_than_a_page_can_carry(reader, rollout, name):
    response = reader.get(reverse(name, args=[rollout.pk]))
    page = response.content.decode()
    assert response.status_code == 200
    assert len(response.content) < 256_000
    assert page.count('aria-current="page"') >= 1
    for other in SECTIONS:
        assert reverse(other, args=[rollout.pk]) in page


@pytest.mark.parametrize("name", SECTIONS)
def test_a_rollout_that_never_ran_says_so(reader, queued, name):
    page = reader.get(reverse(name, args=[queued.rollouts().first().pk])).content.decode()
    assert 'class="empty block"' in page


@pytest.mark.parametrize("name", SECTIONS)
def test_hostile_text_is_escaped(reader, queued, name):
    found = queued.rollouts().filter(arm__scaffold="rlm").first()
    play_hostile(found)
    page = reader.get(reverse(name, args=[found.pk])).content.decode()
    assert "<script>alert" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("name", [*SECTIONS, "rollout-spans"])
def test_an_attempt_that_does_not_exist_is_refused(reader, rollout, name):
    assert reader.get(reverse(name, args=[rollout.pk]) + "?attempt=7").status_code == 400


def test_spans_as_json_speedscope_and_perfetto(reader, rollout):
    address = reverse("rollout-spans", args=[rollout.pk])
    answer = reader.get(address).json()
    rows = [dict(zip(answer["columns"], row, strict=True)) for row in answer["spans"]]
    total = sum(row["own_ms"] for row in rows)
    scope = json.loads(reader.get(address + "?as=speedscope").content)
    profile = scope["profiles"][0]
    assert len(profile["samples"]) == len(profile["weights"])
    assert sum(profile["weights"]) * 1000 == pytest.approx(total, abs=len(rows))
    assert all(index < len(scope["shared"]["frames"]) for sample in profile["samples"] for index in sample)
    events = json.loads(reader.get(address + "?as=perfetto").content)["traceEvents"]
    bars = [event for event in events if event["ph"] == "X"]
    assert len(bars) == sum(row["kind"] in ("model", "cell", "tool", "judge", "sub_call") for row in rows)
    by_lane = {}
    for bar in sorted(bars, key=lambda each: each["ts"]):
        assert by_lane.get(bar["tid"], 0) <= bar["ts"] + 1  # bars of a lane do not overlap
        by_lane[bar["tid"]] = bar["ts"] + bar["dur"]


def test_spans_of_thousands_of_sub_calls_stay_small(reader, queued, django_assert_max_num_queries):
    story = Story(queued.rollouts().filter(arm__scaffold="rlm").first())
    root = story.root()
    for _ in range(5):
        key = story.start_cell(root, story.turn(root), "llm_batch(prompts)")
        for position in range(400):
            story.sub(key, position=position)
        story.end_cell(key)
    story.end(root)
    with django_assert_max_num_queries(10):
        response = reader.get(reverse("rollout-spans", args=[story.rollout.pk]))
    assert len(response.json()["spans"]) > 2_000
    assert len(response.content) < 256_000


def test_variables_open_at_a_cell(reader, rollout):
    address = reverse("rollout-variables", args=[rollout.pk])
    assert "After In[1]" in reader.get(address + "?cell=1").content.decode()
    assert reader.get(address + "?cell=999").status_code == 400


def test_an_import_without_times_says_so(reader, rollout):
    Rollout.objects.filter(pk=rollout.pk).update(reported=True)
    Turn.objects.filter(trajectory__rollout=rollout).update(seconds=0)
    page = reader.get(reverse("rollout-timeline", args=[rollout.pk])).content.decode()
    assert "its file does not say when calls began" in page
