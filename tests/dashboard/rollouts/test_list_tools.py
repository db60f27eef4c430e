"""Chips and menus that write the filter, sets of columns, the preview, and actions on selected rollouts."""

from __future__ import annotations

import csv
import io
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User

from dashboard.rollouts import chips
from dashboard.rollouts.column_sets import SETS
from dashboard.tables.rollouts import ROLLOUTS
from rlm_runs.analysis import filters
from rlm_runs.execution import queue
from rlm_runs.models import Experiment, Rollout, RolloutTag, Text
from rlm_runs.models.texts import escape
from tests.factories.traces import HOSTILE, make_experiment


def choices(q, title, *, experiment=None):
    found = {menu.title: menu for menu in chips.menus(filters.parse(q), experiment=experiment)}
    return {choice.label: (choice.query, choice.is_on) for choice in found[title].choices}


def test_a_chip_is_a_term_and_the_query_without_it():
    q = 'env:oolong -stop:max_turns "two words" #17'
    assert [(chip.text, chip.without) for chip in chips.chips(filters.parse(q))] == [
        ("env:oolong", '-stop:max_turns "two words" id:17'),
        ("-stop:max_turns", 'env:oolong "two words" id:17'),
        ('"two words"', "env:oolong -stop:max_turns id:17"),
        ("id:17", 'env:oolong -stop:max_turns "two words"'),
    ]


def test_menus_write_the_filter(played):
    assert choices("", "Scaffold")["RLM"] == ("scaffold:rlm", False)
    assert choices("scaffold:rlm reward:<1", "Scaffold") == {
        "LLM": ("scaffold:rlm,llm reward:<1", False),
        "RLM": ("reward:<1", True),
        "RLM+tips": ("scaffold:rlm,rlm_tips reward:<1", False),
    }
    assert choices("-scaffold:rlm", "Scaffold")["RLM"] == ("-scaffold:rlm scaffold:rlm", False)
    assert choices("reward:<1 env:a", "Reward")["0"] == ("reward:0 env:a", False)
    assert choices("reward:<1 env:a", "Reward")["<1"] == ("env:a", True)
    RolloutTag.objects.put('odd "one"', [played.rollouts().first().pk], user=User.objects.create(username="a"))
    (query, _) = choices("", "Tag")['odd "one"']
    assert [value.text for value in filters.parse(query).terms[0].values] == ['odd "one"']


def test_the_menus_of_a_list_lead_back_to_it(reader, played):
    make_experiment(name="other", environments=("oolong",))
    html = reader.get(f"/rollouts/filters/?experiment={played.slug}&q=reward:0&sort=cost&pane=1").content.decode()
    assert f'href="/experiments/{played.slug}/rollouts/?sort=cost&amp;pane=1&amp;q=reward%3A0+env%3A' in html
    assert "oolong" not in html
    assert 'href="/rollouts/?q=scaffold%3Allm"' in reader.get('/rollouts/filters/?q="').content.decode()


@pytest.mark.parametrize(("text", "meaning"), chips.EXAMPLES)
def test_each_example_of_the_help_can_be_asked(reader, played, text, meaning):
    response = reader.get("/rollouts/", {"q": text})
    assert response.context["asked"].problem is None
    assert meaning in response.content.decode()


@pytest.mark.parametrize("keys", SETS.values(), ids=SETS)
def test_sets_of_columns_have_columns(reader, played, keys):
    assert set(keys) <= ROLLOUTS.columns.keys()
    response = reader.get("/rollouts/", {"columns": ",".join(keys)})
    assert [column.key for column in response.context["asked"].columns] == list(keys)


def test_the_preview_shows_the_rollout_in_short(reader, played):
    rollout = played.rollouts().filter(reward=1).first()
    (key,) = Text.objects.keep([HOSTILE])
    Rollout.objects.filter(pk=rollout.pk).update(answer=key, failure_modes=["wrong_answer"], error=escape(HOSTILE))
    html = reader.get(f"/rollouts/{rollout.pk}/preview/").content.decode()
    assert "<script>alert" not in html
    assert "copy the text exactly" in html
    assert f'href="/rollouts/{rollout.pk}/"' in html
    assert "wrong_answer" in html
    unended = make_experiment(name="queued").rollouts().first()
    assert "none" in reader.get(f"/rollouts/{unended.pk}/preview/").content.decode()
    listed = reader.get("/rollouts/?pane=1").content.decode()
    assert f'hx-get="/rollouts/{rollout.pk}/preview/"' in listed
    assert "hx-get" not in reader.get("/rollouts/").content.decode().split("<tbody>")[1].split("</tbody>")[0]


def act(reader, do, rollouts, **more):
    return reader.post("/rollouts/selected/", {"do": do, "rollout": [each.pk for each in rollouts], **more})


def test_two_rollouts_are_compared_side_by_side_and_several_by_arm(reader, played):
    rollouts = list(played.rollouts().order_by("pk"))
    one, other = rollouts[:2]
    assert act(reader, "compare", [other, one]).url == f"/compare/rollouts/?a={other.pk}&b={one.pk}"
    where = urlsplit(act(reader, "compare", rollouts).url)
    assert where.path == "/compare/"
    assert len(parse_qs(where.query)["arm"]) == 3
    alike = played.rollouts().filter(arm=one.arm_id)
    assert "rollouts of 2 to 24 arms" in act(reader, "compare", alike).content.decode()


def test_selected_rollouts_are_tagged_and_exported(reader, played):
    chosen = list(played.rollouts().order_by("pk")[:3])
    RolloutTag.objects.put("odd", [chosen[0].pk], user=User.objects.create(username="grace"))
    assert act(reader, "tag", chosen, tag=" odd ", back="/rollouts/?q=tag:odd").url == "/rollouts/?q=tag:odd"
    authors = RolloutTag.objects.order_by("rollout").values_list("author_name", flat=True)
    assert list(authors) == ["grace", "ada", "ada"]
    assert act(reader, "tag", chosen, tag="a,b").status_code == 400
    assert act(reader, "tag", chosen, tag="x", back="//evil.example/").url == "/rollouts/"
    moved = reader.get(act(reader, "export", chosen, columns="id,reward").url)
    rows = list(csv.reader(io.StringIO(b"".join(moved.streaming_content).decode())))
    assert rows[0] == ["id", "reward"]
    assert [int(pk) for pk, _ in rows[1:]] == [each.pk for each in chosen]


def test_selected_rollouts_are_retried_when_confirmed(reader, played, monkeypatch):
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)
    failed = list(played.rollouts().filter(status="failed"))
    scored = played.rollouts().filter(reward=1).first()
    imported = make_experiment(name="imported").rollouts().first()
    Experiment.objects.filter(pk=imported.experiment_id).update(sources=[{"path": "x"}])
    asked = act(reader, "retry", [*failed, scored, imported]).content.decode()
    assert f"{len(failed)} rollouts; each gets a new attempt" in asked
    assert "imported rollouts cannot be run again" in asked
    assert not Rollout.objects.filter(pk__in=[each.pk for each in failed], status="queued").exists()
    done = act(reader, "retry", [*failed, scored], confirm="yes", back="/rollouts/?q=status:queued")
    assert done.url == "/rollouts/?q=status:queued"
    states = Rollout.objects.in_bulk([each.pk for each in [*failed, scored]])
    assert {states[each.pk].status for each in failed} == {"queued"}
    assert states[scored.pk].status == "completed"


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"do": "dance", "rollout": "1"},
        {"do": "tag"},
        {"do": "tag", "rollout": "x"},
        {"do": "tag", "rollout": "9" * 30},
    ],
)
def test_what_cannot_be_done_is_refused(reader, form):
    assert reader.post("/rollouts/selected/", form).status_code == 400
