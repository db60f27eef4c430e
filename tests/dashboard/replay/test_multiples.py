"""Rollouts as small multiples: the shape and the outcome of each, on the same axes."""

import re
from urllib.parse import urlencode

import pytest
from django.urls import reverse

from dashboard.replay.multiples import MOST_ROLLOUTS
from rlm_runs.analysis.replay import outlines
from rlm_runs.models import Execution, Trajectory, Turn
from tests.factories.traces import play_hostile, play_llm, play_rlm


def address(*rollouts):
    return f"{reverse('rollout-multiples')}?{urlencode([('rollout', row.pk) for row in rollouts])}"


@pytest.fixture
def example(queued):
    """The rollouts of one example: an LLM that wrote no code, an RLM, and one that has not begun."""
    llm, rlm, waiting = queued.rollouts().filter(example_position=0).order_by("arm__position")
    play_llm(llm, reward=0.0)
    play_rlm(rlm, reward=1.0)
    return llm, rlm, waiting


def test_outlines_count_what_each_turn_did(example):
    llm, rlm, waiting = example
    found = outlines.read(example)
    roots = Turn.objects.filter(trajectory__rollout=rlm, trajectory__kind="root").order_by("index")
    cells = Execution.objects.filter(turn__in=roots, kind="cell")
    outline = found[rlm.pk]
    assert [turn.prompt_tokens for turn in outline.turns] == [turn.prompt_tokens for turn in roots]
    assert sum(turn.cells for turn in outline.turns) == cells.count() > 0
    assert sum(turn.errors for turn in outline.turns) == cells.exclude(error_type="").count()
    calls = Trajectory.objects.filter(parent__in=cells)
    assert sum(turn.sub_calls for turn in outline.turns) == calls.count() > 0
    assert outline.ready == cells.filter(ready=True).values_list("turn__index", flat=True).first() + 1
    assert not any(turn.cells for turn in found[llm.pk].turns)
    assert list(found[waiting.pk].turns) == []


def test_they_take_the_same_queries_whatever_their_number(queued, django_assert_num_queries):
    rows = list(queued.rollouts().filter(arm__scaffold="rlm"))
    for rollout in rows:
        play_rlm(rollout)
    with django_assert_num_queries(4):
        outlines.read(rows[:1])
    with django_assert_num_queries(4):
        outlines.read(rows)


def test_the_page_shows_each_on_the_same_axes(reader, example):
    page = reader.get(address(*example)).content.decode()
    assert len(re.findall(r'class="strip"', page)) == 2
    assert len(set(re.findall(r'viewBox="([^"]+)" preserveAspectRatio="none" role="img"', page))) == 1
    order = [int(pk) for pk in re.findall(r'<h2 id="rollout-(\d+)">', page)]
    assert order == [row.pk for row in example]
    for words in ("ready 6", "No transcript", "not yet", "Gold answer"):
        assert words in page, words


def test_a_long_rollout_shares_columns(reader, example):
    _, rlm, _ = example
    root = Trajectory.objects.get(rollout=rlm, kind="root")
    last = Turn.objects.filter(trajectory=root).order_by("-index").first()
    rows = [
        Turn(**{f.attname: getattr(last, f.attname) for f in Turn._meta.fields if f.name != "id"})
        for _ in range(500)
    ]
    for index, row in enumerate(rows, last.index + 1):
        row.index = index
    Turn.objects.bulk_create(rows)
    page = reader.get(address(rlm)).content.decode()
    assert 'viewBox="0 0 1200 72"' in page
    assert "several turns in one" in page


def test_the_rollout_page_leads_to_it(reader, example):
    page = reader.get(example[1].get_absolute_url()).content.decode()
    assert address(*example).replace("&", "&amp;") in page


def test_hostile_texts_stay_texts(reader, queued):
    rollout = queued.rollouts().filter(arm__scaffold="rlm").first()
    play_hostile(rollout)
    assert "<script>alert" not in reader.get(address(rollout)).content.decode()


@pytest.mark.parametrize("query", ["", "?rollout=x", "?rollout=0", "?rollout=-1", f"?rollout={'9' * 30}"])
def test_addresses_that_name_none(reader, query):
    assert reader.get(reverse("rollout-multiples") + query).status_code == 400


def test_it_holds_so_many_at_most(reader, queued):
    many = "&".join(f"rollout={number}" for number in range(MOST_ROLLOUTS + 1))
    assert reader.get(f"{reverse('rollout-multiples')}?{many}").status_code == 400
