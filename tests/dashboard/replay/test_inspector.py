"""The inspector beside a transcript, and the search in a rollout."""

from __future__ import annotations

import pytest
from django.urls import reverse

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.replay import moment, text_search
from rlm_runs.models import Execution, Text, Trajectory
from tests.factories.traces import play_hostile, play_rlm


@pytest.fixture
def rollout(queued):
    found = queued.rollouts().filter(arm__scaffold="rlm").first()
    play_rlm(found)
    found.refresh_from_db()
    return found


def texts_of(queryset, column):
    keys = [key for key in queryset.values_list(column, flat=True) if key]
    read = Text.objects.read(keys)
    return [read[key] for key in keys]


def test_the_state_after_each_turn_is_that_of_its_last_cell(rollout):
    root = transcripts.root_of(rollout, attempt=1)
    for turn in root.turns.all():
        found = moment.read(root, number=turn.index + 1)
        cells = Execution.objects.filter(turn__trajectory=root, turn__index__lte=turn.index, finished=True)
        last = cells.filter(kind="cell").order_by("turn__index", "position").last()
        assert found.turn == turn
        if last is None:
            assert found.cell is None
            continue
        assert {v.name for v in found.cell.variables} == {row["name"] for row in last.variables}
        assert found.is_of_this_turn == (last.turn_id == turn.pk)
        if last.answer_id:
            assert found.answer.text.text == Text.objects.read([last.answer_id])[last.answer_id][:2000]
            assert found.answer.is_ready == bool(last.ready)
        assert found.window.prompt_tokens == turn.prompt_tokens
    assert moment.read(root, number=root.turns.count() + 1) is None


def test_the_fragment_shows_the_turn_and_knows_no_other(reader, rollout):
    turns = transcripts.root_of(rollout, attempt=1).turns.count()
    page = reader.get(reverse("rollout-inspector", args=[rollout.pk, turns])).content.decode()
    assert f"After turn {turns}" in page
    for part in ("Answer", "Variables", "Context window", "Model call", "Exact prompt"):
        assert part in page
    assert reader.get(reverse("rollout-inspector", args=[rollout.pk, turns + 1])).status_code == 404


def test_a_turn_reads_no_more_the_longer_the_rollout(reader, rollout, django_assert_max_num_queries):
    with django_assert_max_num_queries(16):
        reader.get(reverse("rollout-inspector", args=[rollout.pk, 1]))


def test_hostile_text_is_escaped(reader, queued):
    found = queued.rollouts().filter(arm__scaffold="rlm").first()
    play_hostile(found)
    for turn in range(1, transcripts.root_of(found, attempt=1).turns.count() + 1):
        page = reader.get(reverse("rollout-inspector", args=[found.pk, turn])).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
    page = reader.get(reverse("rollout-search", args=[found.pk]) + "?words=script").content.decode()
    assert "<script>alert" not in page


def test_each_text_of_a_rollout_is_found(rollout):
    of_root = Execution.objects.filter(turn__trajectory__rollout=rollout, output__isnull=False)
    for output in {text.strip() for text in texts_of(of_root, "output")} - {""}:
        line = output.splitlines()[0][:40]
        matches = text_search.search(rollout, line.upper(), attempt=1).matches
        assert line.casefold() in {match.hit.casefold() for match in matches}


def test_a_sub_llms_answer_leads_to_its_call(reader, rollout):
    sub = Trajectory.objects.filter(rollout=rollout, kind="sub", answer__isnull=False).first()
    words = Text.objects.read([sub.answer_id])[sub.answer_id][:30]
    subs = set(Trajectory.objects.filter(rollout=rollout, kind="sub").values_list("pk", flat=True))
    found = text_search.search(rollout, words, attempt=1).matches
    assert {match.trajectory for match in found} & subs
    page = reader.get(reverse("rollout-search", args=[rollout.pk]), {"words": words}).content.decode()
    assert reverse("call", args=[rollout.pk, sub.pk]) in page


def test_nothing_is_found_where_nothing_is(reader, rollout):
    address = reverse("rollout-search", args=[rollout.pk])
    assert text_search.search(rollout, "no such words anywhere", attempt=1).matches == ()
    assert "Nothing found" in reader.get(address, {"words": "no such words anywhere"}).content.decode()
    assert "Nothing found" not in reader.get(address).content.decode()
