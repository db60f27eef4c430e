"""Figure pages: page, fragment, CSV and JSON of any figure, within their size limits."""

import csv
import io
import json
import re
from html import unescape
from urllib.parse import urlencode

import pytest
from django.urls import reverse

from dashboard import charts
from rlm_runs.analysis.aggregates.dimensions import dimensions
from rlm_runs.models import Rollout
from tests.factories.rollout_rows import Plan, make, snapshot
from tests.factories.traces import HOSTILE, make_experiment, play_llm

pytestmark = pytest.mark.django_db
HEAVIEST = 256_000


def address(experiment, name="reward", query="", *, route="figure"):
    return f"{reverse(route, args=[experiment.slug, name])}?{query}"


def html(reader, where):
    response = reader.get(where)
    assert response.status_code == 200, where
    assert len(response.content) < HEAVIEST, where
    return response.content.decode()


def data(page):
    return json.loads(
        re.search(r'<script id="figure-json" type="application/json">(.*?)</script>', page, re.DOTALL)[1]
    )


@pytest.fixture
def oolong():
    plans = [
        Plan(scaffold=scaffold, environment_settings={"subset": subset}, model=model)
        for subset in ("real", "synth")
        for scaffold in ("llm", "rlm", "rlm_tips")
        for model in ("a", "b")
    ]
    return make(plans, examples=12, repetitions=2, metadata=lambda at: {"context_length": 100 * 2**at})


def every_figure(experiment):
    taken = snapshot(experiment)
    return [name for name, spec in charts.FIGURES.items() if charts.opening_query(spec, taken)]


def test_every_figure_has_its_page_its_numbers_and_its_files(reader, oolong):
    names = every_figure(oolong)
    assert {"reward", "summary", "subset", "context-length", "context-length-by-subset"} <= set(names)
    for name in names:
        page = html(reader, address(oolong, name))
        assert "data-download" in page
        assert 'id="figure-rows"' in page
        assert data(page)["panels"]
        table = list(
            csv.DictReader(io.StringIO(reader.get(address(oolong, name, route="figure-csv")).content.decode()))
        )
        answer = reader.get(address(oolong, name, route="figure-json")).json()
        assert len(table) == len(answer["rows"]) + answer["left_off"] > 0
        for line, row in zip(table, answer["rows"], strict=False):
            assert line["mean"] == ("" if row["mean"] is None else repr(row["mean"]))
            assert (line["by"], line["series"], line["n"]) == (row["by"], row["series"], str(row["n"]))


def test_all_rows_come_as_json_part_by_part(reader, oolong, monkeypatch):
    whole = reader.get(address(oolong, "summary", route="figure-json")).json()
    monkeypatch.setattr("dashboard.figures.views._JSON_ROWS", 4)
    following, rows = address(oolong, "summary", route="figure-json"), []
    while following:
        answer = reader.get(following).json()
        rows += answer["rows"]
        assert len(rows) + answer["left_off"] == len(whole["rows"])
        following = answer["next"]
    assert rows == whole["rows"]
    assert len(rows) > 8
    assert whole["next"] is None
    assert reader.get(address(oolong, "summary", route="figure-json") + "start=x").status_code == 400


def small(reader, source):
    page = html(reader, source)
    return json.loads(
        re.search(r'<script id="small-\w+" type="application/json">(.*?)</script>', page, re.DOTALL)[1]
    )


def test_the_section_keeps_a_place_for_each_panel_and_each_drawing_fills_its_own(reader, oolong):
    page = html(reader, reverse("figures", args=[oolong.slug]))
    cards = re.findall(r'<li class="figure-card.*?</li>', page, re.DOTALL)
    opens = [unescape(re.search(r'data-opens="([^"]+)"', card)[1]) for card in cards]
    assert {address(oolong, name).rstrip("?") for name in ("reward", "tokens", "subset", "context-length")} <= set(
        opens
    )
    rewards = set()
    for card, large in zip(cards, opens, strict=True):
        figure = small(reader, unescape(re.search(r'hx-get="([^"]+)"', card)[1]))
        assert card.count('<div class="figure">') == len(figure["panels"])
        whole = data(html(reader, large))
        first = whole["panels"][0]["layout"]["yaxis"]["title"]
        same = [panel for panel in whole["panels"] if panel["layout"]["yaxis"]["title"] == first]
        for own, full in zip(figure["panels"], same, strict=False):
            assert [trace["y"] for trace in own["data"]] == [trace["y"] for trace in full["data"]]
            if full["layout"]["yaxis"]["title"]["text"] == "mean reward" and own["form"] != "tradeoff":
                rewards.add(tuple(own["layout"]["yaxis"]["range"]))
    assert rewards == {(0, 1.04)}


def test_panels_of_one_measure_share_their_axis(reader):
    def row(rng, arm, number):
        return {"reward": 1.0, "main_prompt_tokens": 100_000 if arm.model == "b" else 100}

    experiment = make([Plan(scaffold=s, model=m) for s in ("llm", "rlm") for m in ("a", "b")], examples=4, row=row)
    panels = data(html(reader, address(experiment, "tokens", "facet=model")))["panels"]
    assert len(panels) == 2
    ranges = {tuple(panel["layout"]["yaxis"]["range"]) for panel in panels}
    assert len(ranges) == 1
    assert ranges.pop()[1] > 100_000


def test_small_figures_follow_a_running_experiment(reader):
    experiment = make_experiment(name="under way")
    live = unescape(
        re.search(r'hx-get="([^"]*figures-live[^"]*)"', html(reader, f"/experiments/{experiment.slug}/figures/"))[
            1
        ]
    )
    assert reader.get(live).status_code == 204
    play_llm(experiment.rollouts().filter(arm__scaffold="llm").first())
    changed = reader.get(live)
    assert (changed.status_code, changed.headers["HX-Trigger"]) == (200, "figures-changed")


@pytest.mark.parametrize("name", ["reward", "lift", "efficiency", "tokens", "reward-tokens", "summary"])
def test_every_figure_by_every_dimension(reader, oolong, name):
    for dimension in dimensions(snapshot(oolong)):
        for series in ("variant", "model", "none"):
            html(reader, address(oolong, name, f"by={dimension}&series={series}&facet=env"))
        html(reader, address(oolong, name, f"series={dimension}&facet=none"))
        html(reader, address(oolong, name, f"facet={dimension}"))


@pytest.mark.parametrize("form", ["bars", "binned", "rolling", "scatter"])
@pytest.mark.parametrize("scale", ["", "linear", "log"])
def test_every_form_along_an_axis(reader, oolong, form, scale):
    page = html(reader, address(oolong, "context-length", f"form={form}&scale={scale}&bins=3&facet=model"))
    axis = data(page)["panels"][0]["layout"]["xaxis"]
    if form != "bars":
        assert axis["title"]["text"] == "context length, characters"
        assert (axis.get("type") == "log") == (scale != "linear")


def test_a_setting_that_nobody_foresaw_has_its_figure(reader):
    plans = [Plan(scaffold=s, environment_settings={"moon phase": p}) for p in (None, 0.5) for s in ("llm", "rlm")]
    experiment = make(plans, examples=3)
    page = html(reader, reverse("figures", args=[experiment.slug]))
    assert f"{reverse('figure', args=[experiment.slug, 'by'])}?by=set.moon+phase" in page
    page = html(reader, address(experiment, "by", "by=set.moon phase"))
    assert data(page)["panels"][0]["layout"]["xaxis"]["categoryarray"] == ["none", "0.5"]


def test_panels_in_which_a_setting_does_not_vary_are_left_away_and_counted(reader):
    plans = [
        Plan("verbatim-copy", scaffold, {"target_length": length, "mean_fragment_length": fragment})
        for scaffold in ("llm", "rlm")
        for length, fragment in ((250, 20), (500, 20), (500, 50), (500, 100))
    ]
    plans += [Plan("math-python", "llm"), Plan("math-python", "rlm", {}, {"cell_time_limit": 120})]
    experiment = make(plans)
    page = html(reader, address(experiment, "target-length"))
    drawn = data(page)
    assert [panel["title"] for panel in drawn["panels"]] == [""]
    assert {trace["name"] for trace in drawn["panels"][0]["data"]} == {"LLM", "RLM"}
    assert [entry["name"] for entry in drawn["legend"]] == ["LLM", "RLM"]
    assert "mean_fragment_length 20; 3 more panels, in which target length does not vary," in page
    everything = data(html(reader, address(experiment, "reward")))
    assert "does not vary" not in everything["caption"]


def test_the_switch_keeps_the_rest_of_the_address(reader, oolong):
    page = html(reader, address(oolong, "subset", "series=model&unscored=zero"))
    links = [unescape(link) for link in re.findall(r'href="([^"]*figures/subset/\?[^"]*)"', page)]
    assert address(oolong, "subset", "series=model&unscored=common") in links
    assert "count as reward 0" in page


def test_the_permanent_link_says_everything_and_shows_the_same(reader, oolong):
    page = html(reader, address(oolong, "context-length", "bins=3&facet=model&unscored=zero"))
    link = unescape(re.search(r'<a class="button" href="([^"]+)"', page)[1])
    for part in (
        "by=meta.context_length",
        "bins=3",
        "facet=model",
        "form=binned",
        "series=variant",
        "unscored=zero",
    ):
        assert part in link
    assert data(html(reader, link)) == data(page)


def test_narrowed_to_arms_and_values(reader, oolong):
    llm = oolong.arms.filter(scaffold="llm", model="a")
    query = "&".join(f"arm={arm.pk}" for arm in llm)
    rows = reader.get(address(oolong, "subset", query, route="figure-json")).json()["rows"]
    assert {(row["by"], row["series"]) for row in rows} == {("real", "LLM"), ("synth", "LLM")}
    rows = reader.get(address(oolong, "reward", "where=set.subset:real&where=model:b", route="figure-json")).json()
    assert {row["by"] for row in rows["rows"]} == {"oolong · subset real · model b"}


@pytest.mark.parametrize(
    "query",
    [
        "by=nothing",
        "measure=metric.nothing",
        "bins=1",
        "bins=x",
        "form=pie",
        "arm=0",
        "where=set.subset",
        "where=x:y",
    ],
)
def test_what_is_not_understood_is_said(reader, oolong, query):
    assert '<ul class="errorlist">' in html(reader, address(oolong, "reward", query))
    assert reader.get(address(oolong, "reward", query, route="figure-json")).status_code == 400
    assert reader.get(address(oolong, "reward", query, route="figure-csv")).status_code == 400


def test_there_is_no_figure_of_what_there_is_not(reader, oolong):
    assert reader.get(address(oolong, "nothing")).status_code == 404
    assert reader.get(address(oolong, "fragment-length")).status_code == 404


def test_a_point_leads_to_the_rollouts_behind_it(reader, oolong):
    rows = reader.get(address(oolong, "context-length", "facet=model", route="figure-json")).json()["rows"]
    (row, *_) = [row for row in rows if row["series"] == "LLM" and row["panel"] == "a"]
    arms = ",".join(str(arm.pk) for arm in oolong.arms.filter(scaffold="llm", model="a"))
    low, high = int(row["x_low"]), int(row["x_high"])
    assert row["query"] == f"arm:{arms} meta.context_length:>={low} meta.context_length:<{high} outcome:scored"


def test_embedded_it_has_no_page_around_it(reader, oolong):
    page = html(reader, address(oolong, "reward", "embed=1"))
    assert "<nav" not in page
    assert 'class="filters' not in page
    assert data(page)["panels"]


def test_it_follows_a_running_experiment(reader, queued):
    page = html(reader, address(queued))
    live = unescape(re.search(r'hx-get="([^"]+)"', page)[1])
    assert reader.get(live).status_code == 204
    play_llm(queued.rollouts().filter(arm__scaffold="llm").first())
    fragment = html(reader, live)
    assert (
        'id="figure-rows" tabindex="0" role="region" aria-label="Numbers of the figure" hx-swap-oob="true"'
        in fragment
    )
    assert sum(len(trace["y"]) for trace in data(fragment)["panels"][0]["data"]) == 1
    assert "version=" not in "".join(re.findall(r'href="([^"]+)"', fragment))
    assert "<html" not in fragment


def test_a_finished_one_does_not_ask_again(reader, played):
    assert "hx-get" not in html(reader, address(played))


def nothing(rng, arm, number):
    return {"status": "queued", "stop_reason": ""}


def failed(rng, arm, number):
    return {"status": "failed", "stop_reason": "model_error"}


@pytest.mark.parametrize(
    ("plans", "row"),
    [
        ([Plan(), Plan(scaffold="rlm")], nothing),
        ([Plan(), Plan(scaffold="rlm")], failed),
        ([Plan(scaffold="rlm")], None),
        ([Plan(scaffold="rlm"), Plan(scaffold="rlm_tips")], None),
        ([Plan()], lambda rng, arm, number: {"reward": -1.5}),
    ],
    ids=["nothing ran", "no reward at all", "one arm", "no LLM", "negative rewards"],
)
def test_experiments_with_little_to_show(reader, plans, row):
    experiment = make(plans, examples=4, metadata=lambda at: {"context_length": at}, row=row)
    html(reader, experiment.get_absolute_url())
    for unscored in ("exclude", "zero", "common"):
        for name in every_figure(experiment):
            html(reader, address(experiment, name, f"unscored={unscored}"))
            for form in ("rolling", "scatter"):
                html(reader, address(experiment, "context-length", f"unscored={unscored}&form={form}"))


def test_an_experiment_without_examples(reader):
    experiment = make([Plan(), Plan(scaffold="rlm")], examples=0)
    html(reader, experiment.get_absolute_url())
    assert "There is nothing here" in html(reader, address(experiment))


def test_sixty_arms_stay_within_the_bounds(reader):
    plans = [
        Plan(
            scaffold=scaffold,
            environment_settings={"a rather long name": "x" * 70 + str(at)},
            model=f"vendor/{model}",
        )
        for at in range(10)
        for scaffold in ("llm", "rlm", "rlm_tips")
        for model in ("one", "two")
    ]
    experiment = make(plans, examples=3, metadata=lambda at: {"context_length": at * 7})
    html(reader, experiment.get_absolute_url())
    for name in every_figure(experiment):
        page = html(reader, address(experiment, name))
        assert len(reader.get(address(experiment, name, route="figure-json")).content) < HEAVIEST
    assert "more points have no room here" in html(reader, address(experiment, "summary"))
    assert "more rows are in the CSV" in html(reader, address(experiment, "summary"))
    assert page


def test_hostile_names_stay_text(reader):
    told = HOSTILE.replace("\x00", "").replace("\ud800", "")
    plans = [
        Plan(told[:60], scaffold, {"k": told, "n": n}, model="<img src=x>")
        for n in (1, 2)
        for scaffold in ("llm", "rlm")
    ]
    evil = "</script><script>alert(1)</script>"
    experiment = make(plans, examples=4, metadata=lambda at: {evil: f"{evil}{at % 2}", "%s' \"": at % 2})
    Rollout.objects.filter(experiment=experiment, status="completed").update(metrics={f"{evil}%s'": 0.5})
    for where in (experiment.get_absolute_url(), address(experiment), address(experiment, "by")):
        page = html(reader, where)
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in re.sub(r'="[^"]*"|<script.*?</script>', "", page, flags=re.DOTALL)
    taken = snapshot(experiment)
    for dimension in dimensions(taken):
        html(
            reader,
            reverse("figure", args=[experiment.slug, "by"]) + "?" + urlencode({"by": dimension, "facet": "none"}),
        )
    rows = reader.get(
        reverse("figure-json", args=[experiment.slug, "reward"])
        + "?"
        + urlencode({"measure": f"metric.{evil}%s'"})
    ).json()["rows"]
    assert {row["mean"] for row in rows if row["n"]} == {0.5}


def test_few_queries_and_none_for_what_is_known(reader, oolong, django_assert_max_num_queries):
    for name in every_figure(oolong):
        with django_assert_max_num_queries(14):
            reader.get(address(oolong, name))
        with django_assert_max_num_queries(5):  # of a running one the progress, too
            reader.get(address(oolong, name))


def test_no_text_is_read(reader, oolong, django_assert_max_num_queries):
    with django_assert_max_num_queries(20) as captured:
        reader.get(address(oolong, "summary"))
    assert not any("rlm_runs_text" in query["sql"] for query in captured.captured_queries)


def test_traces_through_the_recorder_have_figures_too(reader):
    experiment = make_experiment(environments=("oolong",), examples=2)
    for rollout in experiment.rollouts().select_related("arm", "example"):
        play_llm(rollout, reward=0.5)
    rows = reader.get(address(experiment, "seconds", route="figure-json")).json()["rows"]
    assert {row["n"] for row in rows} == {2}
