"""Lists of rollouts: filters, order, pages."""

import pytest

from dashboard.forms import RolloutFilters
from rlm_runs.models import Rollout

from .traces import make_experiment


def rows(reader, query="", address="/rollouts/"):
    response = reader.get(f"{address}?{query}")
    assert response.status_code == 200, query
    return list(response.context["page"].rows)


def test_an_empty_store_and_no_match_say_what_to_do(reader):
    assert "No rollout yet" in reader.get("/rollouts/").content.decode()
    make_experiment()
    assert "No rollout is like that" in reader.get("/rollouts/?q=nothing-like-it").content.decode()


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("environment=verbatim-copy", 9),
        ("scaffold=rlm", 3),
        ("scaffold=rlm&model=demo-model", 3),
        ("status=too_long", 1),
        ("status=failed", 1),
        ("status=unscored", 2),
        ("stop=prompt_too_long", 1),
        ("reward_from=1", 3),
        ("reward_to=0", 4),
        ("reward_from=0.5&reward_to=0.9", 0),
        ("example=2", 3),
        ("q=overloaded", 1),
        ("q=maximum context", 1),
    ],
)
def test_each_filter_leaves_its_rows(reader, played, query, count):
    found = rows(reader, query)
    if query in ("reward_from=1", "reward_to=0"):
        value = float(query[-1])
        assert {rollout.reward for rollout in found} == {value}
    else:
        assert len(found) == count


def test_an_id_finds_its_rollout(reader, played):
    rollout = played.rollouts().last()
    assert rollout in rows(reader, f"q=%23{rollout.pk}")


def test_one_arm_of_one_experiment(reader, played):
    make_experiment(name="other")
    arm = played.arms.first()
    found = rows(reader, f"arm={arm.pk}", f"/experiments/{played.slug}/rollouts/")
    assert {rollout.arm for rollout in found} == {arm}
    assert len(rows(reader, "", f"/experiments/{played.slug}/rollouts/")) == 9


@pytest.mark.parametrize(
    "query",
    [
        "reward_from=x",
        "reward_from=0.9&reward_to=0.1",
        "scaffold=nothing",
        "environment=nothing",
        "arm=x",
        "example=0",
        "sort=nothing",
        "after=nothing",
        "after=nan~x",
        "sort=cost&after=Infinity~1",
        "sort=turns&after=" + "9" * 70 + "~1",
        "reward_from=nan",
        "q=" + "x" * 300,
    ],
)
def test_what_is_not_understood_is_said(reader, played, query):
    response = reader.get(f"/rollouts/?{query}")
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()


def test_a_nul_in_a_filter_is_no_server_error(reader, played):
    assert reader.get("/rollouts/?q=%00").status_code == 200


@pytest.mark.parametrize("column", RolloutFilters.COLUMNS)
@pytest.mark.parametrize("way", ["", "-"])
def test_pages_of_every_order_hold_every_row_once(reader, played, monkeypatch, column, way):
    make_experiment(name="with nulls")
    monkeypatch.setattr("dashboard.views.rollouts._SIZE", 4)
    seen, after, pages = [], "", []
    while True:
        page = reader.get(f"/rollouts/?sort={way}{column}&after={after}").context["page"]
        seen += [rollout.pk for rollout in page.rows]
        pages.append(page)
        after = page.after
        if not after:
            break
    assert sorted(seen) == sorted(Rollout.objects.values_list("pk", flat=True))
    assert len(pages) == 5
    back = pages[-1]
    for expected in pages[-2::-1]:
        back = reader.get(f"/rollouts/?sort={way}{column}&before={back.before}").context["page"]
        assert back.rows == expected.rows
    assert not back.before


def test_nulls_come_last_both_ways(reader, played):
    for sort in ("reward", "-reward"):
        rewards = [rollout.reward for rollout in rows(reader, f"sort={sort}")]
        known = [reward for reward in rewards if reward is not None]
        assert rewards == sorted(known, reverse=sort == "-reward") + [None] * (len(rewards) - len(known))


def test_queries_do_not_grow_with_rows(reader, played, django_assert_num_queries):
    make_experiment(name="many", examples=12)
    with django_assert_num_queries(6):
        reader.get("/rollouts/")


def test_no_text_is_read(reader, played, django_assert_num_queries):
    with django_assert_num_queries(6) as queries:
        reader.get("/rollouts/")
    assert not [query for query in queries.captured_queries if "rlm_runs_text" in query["sql"]]


def test_unfinished_rollouts_show_no_zeros(reader, queued):
    page = reader.get("/rollouts/").content.decode()
    assert "unscored" not in page.split("<tbody>")[1]
