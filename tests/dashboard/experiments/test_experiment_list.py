"""The list of experiments."""

from django.utils import timezone

from rlm_runs.models import Experiment
from tests.factories.traces import make_experiment


def html(reader, address="/experiments/"):
    response = reader.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_an_empty_store_says_what_to_do(reader):
    page = html(reader)
    assert "make demo" in page
    assert "python manage.py launch specs/demo.toml" in page
    assert "/launch/" in page


def test_a_row_has_the_experiments_numbers(reader, played):
    page = html(reader)
    for words in (
        played.name,
        "9<span",
        "1 failed",
        "1 too long",
        "unpriced",
        "simulated model",
        "no walls",
        'class="pm"',
    ):
        assert words in page, words


def test_it_filters_by_name_and_state(reader, played):
    running = make_experiment(name="under way")
    cancelled = make_experiment(name="called off")
    Experiment.objects.filter(pk=cancelled.pk).update(cancelled_at=timezone.now())
    for query, expected in [
        ("q=WAY", {running}),
        ("status=running", {running}),
        ("status=finished", {played}),
        ("status=cancelled", {cancelled}),
        ("q=nothing-like-it", set()),
    ]:
        page = html(reader, f"/experiments/?{query}")
        shown = {found for found in (played, running, cancelled) if f"/experiments/{found.slug}/" in page}
        assert shown == expected, query
    assert "No experiment matches" in html(reader, "/experiments/?q=nothing-like-it")


def test_bad_filters_are_said(reader, played):
    assert "Select a valid choice" in html(reader, "/experiments/?status=sideways")
    assert "does not exist" in html(reader, "/experiments/?after=nonsense")


def test_pages_follow_each_other(reader):
    for number in range(30):
        make_experiment(name=f"number {number}", examples=1, scaffolds=("llm",))
    first = reader.get("/experiments/").context["page"]
    second = reader.get(f"/experiments/?after={first.after}").context["page"]
    assert [len(first.rows), len(second.rows)] == [25, 5]
    assert not second.after
    back = reader.get(f"/experiments/?before={second.before}").context["page"]
    assert back.rows == first.rows
    assert not back.before


def test_queries_do_not_grow_with_experiments(reader, played, django_assert_max_num_queries):
    for number in range(20):
        make_experiment(name=f"number {number}", examples=1)
    with django_assert_max_num_queries(12):
        reader.get("/experiments/")


def test_a_name_is_never_markup(reader, db):
    make_experiment(name="<script>alert(1)</script>")
    assert "<script>alert" not in html(reader)


def test_experiments_have_tags_an_owner_and_a_description_and_are_found_by_them(reader, played):
    other = make_experiment(name="other")
    address = f"/experiments/{played.slug}/control/describe/"
    form = {"description": "does it <b>help</b>?", "tags": "paper, oolong", "owner": "ada"}
    assert reader.post(address, form).status_code == 302
    page = html(reader, "/experiments/?tag=paper&owner=ada")
    assert f"/experiments/{played.slug}/" in page
    assert f"/experiments/{other.slug}/" not in page
    assert '<a class="chip" href="?tag=oolong">oolong</a>' in page
    assert f"/experiments/{played.slug}/" not in html(reader, "/experiments/?tag=nothing")
    assert f"/experiments/{played.slug}/" in html(reader, "/experiments/?q=does+it+%3Cb")
    rows = {row["slug"]: row for row in reader.get("/api/experiments/").json()["rows"]}
    assert [rows[played.slug][key] for key in ("tags", "owner", "description")] == [
        *("oolong, paper", "ada", "does it <b>help</b>?")
    ]
    assert (rows[other.slug]["tags"], rows[other.slug]["owner"]) == ("", None)
    shown = html(reader, address)
    assert 'value="oolong, paper"' in shown
    assert 'href="/experiments/?tag=oolong">oolong</a>' in html(reader, played.get_absolute_url())
    reader.post(address, form | {"tags": "", "owner": "", "description": ""})
    played.refresh_from_db()
    assert (played.tags.count(), played.created_by, played.description) == (0, None, "")
    assert played.actions.first().action == "described"


def test_what_an_experiment_cannot_be_called_is_refused(reader, played):
    address = f"/experiments/{played.slug}/control/describe/"
    assert "no user" in reader.post(address, {"owner": "nobody"}).content.decode()
    assert "without quotes" in reader.post(address, {"tags": '"'}).content.decode()
    assert "20 tags" in reader.post(address, {"tags": ",".join(map(str, range(21)))}).content.decode()
