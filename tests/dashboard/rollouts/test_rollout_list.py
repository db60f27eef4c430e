"""Lists of rollouts: filters, sorting, columns, pagination, CSV and JSON."""

import csv
import io
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from dashboard.rollouts.views import SIZE
from dashboard.tables import exports
from dashboard.tables.rollouts import ROLLOUTS
from rlm_runs.models import Example, Rollout, SavedView
from rlm_runs.models.texts import escape
from tests.factories.traces import HOSTILE, make_experiment

SORTS = [key for key, column in ROLLOUTS.columns.items() if column.order]


def get(reader, q="", address="/rollouts/", **parts):
    response = reader.get(f"{address}?{urlencode({'q': q, **parts})}")
    assert response.status_code == 200, q
    return response


def pks(reader, q="", address="/rollouts/", **parts):
    response = get(reader, q, address, **parts)
    assert response.context["asked"].problem is None, response.context["asked"].problem
    return [row["pk"] for row in response.context["page"].rows]


def test_an_empty_store_and_no_match_say_what_to_do(reader):
    assert "No rollout yet" in get(reader).content.decode()
    make_experiment()
    page = get(reader, "env:verbatim-copi").content.decode()
    assert "No rollout matches" in page
    assert "did you mean “verbatim-copy”?" in page
    assert "there is llm, rlm, rlm_tips" in get(reader, "scaffold:zzzz").content.decode()


@pytest.mark.parametrize(
    ("old", "q", "count"),
    [
        ("environment=verbatim-copy", "env:verbatim-copy", 9),
        ("scaffold=rlm&model=demo-model", "scaffold:rlm model:demo-model", 3),
        ("status=too_long", "stop:prompt_too_long", 1),
        ("status=failed", "status:failed -stop:prompt_too_long", 1),
        ("status=unscored", "status:failed reward:none", 2),
        ("status=unfinished", "status:queued,running", 0),
        ("stop=prompt_too_long", "stop:prompt_too_long", 1),
        ("reward_from=1", "reward:>=1", 3),
        ("reward_from=0.5&reward_to=0.9", "reward:>=0.5 reward:<=0.9", 0),
        ("example=2", "example:2", 3),
        ("q=overloaded&example=2", "overloaded example:2", 1),
    ],
)
def test_addresses_kept_from_before_ask_the_same(reader, played, old, q, count):
    moved = reader.get(f"/rollouts/?{old}&sort=-subs")
    assert moved.status_code == 302
    where = urlsplit(moved.url)
    assert (where.path, parse_qs(where.query)) == ("/rollouts/", {"q": [q], "sort": ["-subcalls"]})
    found = reader.get(moved.url)
    assert found.context["asked"].problem is None
    assert len(found.context["page"].rows) == found.context["count"] == count


def test_an_old_address_with_nonsense_points_at_it(reader, played):
    page = reader.get("/rollouts/?arm=x&reward_from=1+2", follow=True).content.decode()
    assert '<mark class="wrong">x</mark>' in page


def test_an_id_finds_its_rollout(reader, played):
    rollout = played.rollouts().last()
    assert pks(reader, f"#{rollout.pk}") == [rollout.pk]


def test_one_arm_of_one_experiment(reader, played):
    make_experiment(name="other")
    arm = played.arms.first()
    address = f"/experiments/{played.slug}/rollouts/"
    found = pks(reader, f"arm:{arm.pk}", address)
    assert set(found) == set(Rollout.objects.filter(arm=arm).values_list("pk", flat=True))
    assert len(pks(reader, "", address)) == 9
    assert [column.key for column in get(reader, "", address).context["asked"].columns][-1] == "model"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"q": "rewrd:1"}, '<mark class="wrong">rewrd</mark>'),
        ({"q": "rewrd:1"}, "?q=reward%3A1"),
        ({"q": 'model:"x'}, "this quote is not closed"),
        ({"q": "turns:many"}, '<mark class="wrong">many</mark>'),
        ({"q": "x" * 2001}, "at most 2,000"),
        ({"q": "<script>:1"}, "No rollout matches"),
        ({"q": '"<script>"x'}, "a space is missing"),
        ({"sort": "nothing"}, "no column to sort by"),
        ({"sort": "failure"}, "no column to sort by"),
        ({"columns": "id,nothing"}, "no column of that name"),
        ({"columns": ",".join(f"metric.{number}" for number in range(70))}, "at most 60 columns"),
        ({"after": "nothing"}, "does not exist"),
        ({"after": "nan~x"}, "does not exist"),
        ({"sort": "cost", "after": "Infinity~1"}, "does not exist"),
        ({"sort": "env", "after": "no-sign~1"}, "does not exist"),
        ({"sort": "env", "after": "=\x00~1"}, "does not exist"),
        ({"sort": "started", "after": "yesterday~1"}, "does not exist"),
        ({"sort": "turns", "after": "9" * 70 + "~1"}, "does not exist"),
    ],
)
def test_what_is_not_understood_is_said(reader, played, parts, said):
    page = get(reader, **parts).content.decode()
    assert said in page
    assert "<script>alert" not in page


def test_a_nul_in_a_filter_is_no_server_error(reader, played):
    for q in ("\x00", "env:\x00", 'meta."\x00":1', "a\x00b"):
        assert get(reader, q)


@pytest.mark.parametrize("way", ["", "-"])
def test_pages_of_every_order_hold_every_row_once(reader, played, monkeypatch, way):
    make_experiment(name="with nulls", examples=2)
    Rollout.objects.filter(pk=played.rollouts().first().pk).update(turns=None, main_prompt_tokens=None)
    monkeypatch.setattr("dashboard.rollouts.views.SIZE", 4)
    for sort in [*SORTS, "metric.exact_match", "meta.nothing", "set.max_turns"]:
        seen, after, pages = [], "", []
        while True:
            page = get(reader, sort=f"{way}{sort}", after=after).context["page"]
            seen += [row["pk"] for row in page.rows]
            pages.append(page)
            after = page.after
            if not after:
                break
        assert sorted(seen) == sorted(Rollout.objects.values_list("pk", flat=True)), sort
        assert len(pages) == 4
        assert [row["pk"] for row in rows_of_csv(reader, sort=f"{way}{sort}")] == seen, sort
        back = pages[-1]
        for expected in pages[-2::-1]:
            back = get(reader, sort=f"{way}{sort}", before=back.before).context["page"]
            assert back.rows == expected.rows, sort
        assert not back.before


def rows_of_csv(reader, address="/rollouts.csv", **parts):
    response = reader.get(f"{address}?{urlencode(parts)}")
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    for row in rows:
        if row.get("id"):
            row["pk"] = int(row["id"])
    return rows


def test_rows_that_come_and_go_move_nothing(reader, played, monkeypatch):
    monkeypatch.setattr("dashboard.rollouts.views.SIZE", 3)
    first = get(reader, sort="-reward").context["page"]
    expected = pks(reader, sort="-reward", after=first.after)
    gone, *_ = (row["pk"] for row in first.rows)
    Rollout.objects.filter(pk=gone).update(reward=None, status="queued")
    assert pks(reader, sort="-reward", after=first.after) == expected


def test_nulls_come_last_both_ways(reader, played):
    for sort in ("reward", "-reward"):
        rewards = [row["reward"] for row in get(reader, sort=sort).context["page"].rows]
        known = [reward for reward in rewards if reward is not None]
        assert rewards == sorted(known, reverse=sort == "-reward") + [None] * (len(rewards) - len(known))


@pytest.mark.parametrize(
    ("q", "parts"),
    [
        ("", {}),
        ("reward:<1", {"sort": "-reward", "columns": "id,reward,main,metric.exact_match,meta.x,set.max_turns"}),
    ],
)
def test_queries_do_not_grow_with_rows(reader, played, django_assert_num_queries, q, parts):
    """Queries: session, user, order (two), archived, rows, count of a full page, saved views."""
    make_experiment(name="many", examples=20)
    expected = Rollout.objects.filter(reward__lt=1).count() if q else Rollout.objects.count()
    assert (expected > SIZE) == (not q)
    with django_assert_num_queries(7) as queries:
        assert get(reader, q, **parts).context["count"] == expected
    assert not [query for query in queries.captured_queries if "rlm_runs_text" in query["sql"]]


@pytest.mark.parametrize("sort", ["env", "-env", "scaffold", "-model", "submodel"])
def test_sorting_by_what_arms_have(reader, played, monkeypatch, sort):
    """Pages of the unfiltered and the filtered query agree."""
    monkeypatch.setattr("dashboard.rollouts.views.SIZE", 4)
    stepwise, filtered = (ids_of_all_pages(reader, sort=sort, **parts) for parts in ({}, {"q": "id:>0"}))
    field = ROLLOUTS.columns[sort.removeprefix("-")].order.field
    way = "-" if sort.startswith("-") else ""
    assert (
        stepwise
        == filtered
        == list(Rollout.objects.order_by(f"{way}{field}", f"{way}pk").values_list("pk", flat=True))
    )
    page = get(reader, sort=sort, after="=nowhere~1")
    assert "does not exist" in page.content.decode()


def ids_of_all_pages(reader, **parts):
    """Reads forwards to the last page and back again."""
    found, page = [], get(reader, **parts).context["page"]
    before = []
    while True:
        found += [row["pk"] for row in page.rows]
        if before:
            again = get(reader, before=page.before, **parts).context["page"]
            assert [row["pk"] for row in again.rows] == before
        before = [row["pk"] for row in page.rows]
        if not page.after:
            return found
        page = get(reader, after=page.after, **parts).context["page"]


def test_unfinished_rollouts_show_no_zeros(reader, queued):
    page = get(reader).content.decode()
    assert "unscored" not in page.split("<tbody>")[1]
    row = rows_of_csv(reader, columns="id,reward,turns,cost,tokens")[0]
    assert (row["reward"], row["turns"], row["cost"], row["tokens"]) == ("", "", "", "")


def test_every_column_shows_exports_and_says_what_it_is(reader, played):
    address = ",".join(ROLLOUTS.columns)
    page = get(reader, columns=address).content.decode()
    header = page.split("<thead>")[1].split("</thead>")[0]
    assert header.count("<th ") == len(ROLLOUTS.columns)
    assert all(column.help and f'title="{column.help}"' in header for column in ROLLOUTS.columns.values())
    rows = rows_of_csv(reader, columns=address)
    assert len(rows) == 9
    assert [*rows[0]][:-1] == [*ROLLOUTS.columns]
    twin = reader.get(f"/api/rollouts/?columns={address}").json()
    assert [*twin["rows"][0]] == [*ROLLOUTS.columns]


def test_own_columns_show_numbers_and_names(reader, played):
    Example.objects.update(metadata={"size": 4096, "kind": escape(HOSTILE), "flag": True, "ratio": 0.5})
    keys = "meta.size,meta.kind,meta.flag,meta.ratio,meta.gone,metric.exact_match"
    twin = reader.get(f"/api/rollouts/?q=scaffold:rlm&sort=id&columns={keys}").json()["rows"][0]
    assert {key: twin[key] for key in ("meta.size", "meta.flag", "meta.ratio", "meta.gone")} == {
        "meta.size": 4096,
        "meta.flag": "true",
        "meta.ratio": 0.5,
        "meta.gone": None,
    }
    page = get(reader, columns=keys).content.decode()
    assert "<script>alert" not in page
    assert "4096" in page
    own = f"/experiments/{played.slug}/rollouts/"
    assert 'value="metric.exact_match"' in get(reader, address=own).content.decode()


def test_csv_is_a_stream_of_chunks_and_holds_all(reader, played, monkeypatch):
    make_experiment(name="many", examples=40)
    monkeypatch.setattr(exports, "CHUNK", 50)
    response = reader.get("/rollouts.csv?columns=id,env")
    parts = list(response.streaming_content)
    assert response.streaming
    assert len(parts) == 1 + 3
    text = b"".join(parts).decode()
    found = [int(row["id"]) for row in csv.DictReader(io.StringIO(text))]
    assert found == list(Rollout.objects.order_by("-pk").values_list("pk", flat=True))
    assert 'filename="rollouts.csv"' in response.headers["Content-Disposition"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_csv_is_a_formula(reader, played, start):
    played.rollouts().update(error=f'{start}HYPERLINK("x")', stop_reason=f"{start}1+1")
    row = rows_of_csv(reader, columns="id,error,stop")[0]
    assert row["error"][0] not in "=+-@\t\r\n"
    assert row["stop"][0] not in "=+-@\t\r\n"


def test_hostile_texts_are_exported_and_shown(reader, played):
    played.rollouts().update(error=escape(HOSTILE * 50))
    assert "<script>alert" not in get(reader, columns="id,error,stop").content.decode()
    assert rows_of_csv(reader, columns="id,error")[0]["error"].startswith("<script>")
    assert reader.get("/api/rollouts/?columns=id,error").json()["rows"][0]["error"].endswith("…")


def test_bad_questions_to_csv_and_api_are_answered_in_json(reader, played):
    for address in ("/rollouts.csv", "/api/rollouts/"):
        response = reader.get(f"{address}?q=env:x+rewrd:1")
        assert response.status_code == 400
        said = response.json()
        assert said["position"] == [6, 11]
        assert "reward" in said["allowed"]
        assert said["suggestion"] == "env:x reward:1"
        assert "no key “rewrd”" in said["error"]
        assert reader.get(f"{address}?sort=x").json()["parameter"] == "sort"
    assert reader.get("/api/rollouts/?after=x").json()["parameter"] == "after"
    assert reader.get("/api/rollouts/?limit=1000").status_code == 400


def test_the_api_pages_through_everything(reader, played):
    address, seen = "/api/rollouts/?limit=2&sort=-reward&columns=id,reward", []
    while address:
        answer = reader.get(address).json()
        seen += [row["id"] for row in answer["rows"]]
        assert answer["count"] == 9
        assert not answer["count_is_a_minimum"]
        address = answer["next"]
    assert sorted(seen) == sorted(Rollout.objects.values_list("pk", flat=True))
    scoped = reader.get(f"/api/experiments/{played.slug}/rollouts/?q=scaffold:rlm").json()
    assert scoped["count"] == 3


def test_a_view_is_saved_opened_and_deleted(reader, ada, played, django_user_model):
    post = {
        "table": "rollouts",
        "name": "wrong <b>",
        "query": "q=reward%3A0&columns=id&x=1&next=//evil",
        "back": "/rollouts/",
    }
    moved = reader.post("/views/save/", post)
    assert moved.url == "/rollouts/?q=reward%3A0&columns=id"
    view = SavedView.objects.get()
    assert (view.user, view.query) == (ada, "q=reward%3A0&columns=id")
    page = get(reader).content.decode()
    assert 'href="/rollouts/?q=reward%3A0&amp;columns=id"' in page
    assert "wrong &lt;b&gt;" in page
    reader.post("/views/save/", post | {"query": "q=reward%3A1"})
    assert SavedView.objects.get().query == "q=reward%3A1"
    for wrong in ({"name": ""}, {"table": "x"}, {"back": "//evil.example/"}, {"back": "https://evil.example"}):
        assert reader.post("/views/save/", post | wrong).status_code == 400
    other = SavedView.objects.create(
        user=django_user_model.objects.create(username="bob"), table="rollouts", name="b"
    )
    assert reader.post(f"/views/{other.pk}/delete/", {"back": "/rollouts/"}).status_code == 404
    assert reader.post(f"/views/{view.pk}/delete/", {"back": "/rollouts/"}).url == "/rollouts/"
    assert list(SavedView.objects.all()) == [other]
