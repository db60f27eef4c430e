"""Arms side by side: the page, its JSON and CSV, the picker, and the prompts."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dashboard.comparison_query import LETTERS, MOST_ARMS
from rlm_runs.analysis.aggregates.measures import MEASURES
from rlm_runs.models import Arm, Rollout
from rlm_runs.models.texts import storable
from tests.factories.traces import HOSTILE, make_experiment, play_llm, play_rlm

LIMIT = 256_000
PUBLISHED = Path(__file__).parents[4] / "shared/data/oolong_real_gpt5mini_raw_results.csv"


def html(reader, address, *, status=200):
    response = reader.get(address)
    assert response.status_code == status, address
    page = response.content.decode()
    assert len(page.encode()) < LIMIT, address
    return page


def address_of(arms, *more):
    return "/compare/?" + "&".join([*(f"arm={getattr(arm, 'pk', arm)}" for arm in arms), *more])


def end(experiment, *, reward=lambda rollout: float(rollout.pk % 2)):
    """Fills in the columns that the page reads, without a trace."""
    for rollout in experiment.rollouts():
        Rollout.objects.filter(pk=rollout.pk).update(
            status="completed", stop_reason="answer_ready", reward=reward(rollout), seconds=3.5 + rollout.pk % 7
        )


@pytest.fixture
def better(queued):
    """The RLM is right and the LLM wrong on all three examples; the third arm has not begun."""
    for rollout in queued.rollouts().exclude(arm__scaffold="rlm_tips").select_related("arm", "example"):
        play = play_llm if rollout.arm.scaffold == "llm" else play_rlm
        play(rollout, reward=float(rollout.arm.scaffold == "rlm"))
    return queued


def figure(page, name):
    found = re.search(rf'<script id="{name}" type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])["panels"][0]["data"]


def test_it_says_in_words_which_is_better(reader, better):
    llm, rlm, tips = better.arms.all()
    page = html(reader, address_of([llm, rlm, tips]))
    for words in (
        "Which of 3 arms is best, and where?",
        "better on 3 of 3 examples, worse on 0, the same on 0",
        "+1.00 (95 % ",
        "p = 0.25, exact McNemar",
        "is not clearly different from",
        "cannot be compared with",
        "no example has a reward in both",
        "C: 3 to go, of 3 rollouts",
    ):
        assert words in page, words
    assert "comparisons" not in page  # one alone needs no correction
    common = html(reader, address_of([llm, rlm, tips], "unscored=common"))
    assert common.count("there is no example that all arms finished") == 2
    assert "no example has a reward in both" not in common


def test_figures_hold_the_numbers_of_the_page(reader, better):
    llm, rlm, _ = better.arms.all()
    page = html(reader, address_of([llm, rlm]))
    assert figure(page, "compare-rewards")[0]["x"] == [0.0, 1.0]
    difference = figure(page, "compare-differences")[0]
    assert (difference["x"], difference["marker"]["symbol"]) == ([1.0], ["square-open"])
    line, marks = figure(page, "compare-front")
    assert marks["text"] == ["A", "B"]
    assert line["x"] == marks["x"]  # the dearer one is better: both are on the front
    assert marks["customdata"][0][0] == f"arm:{llm.pk}"


def test_the_first_arm_is_the_baseline_and_can_be_another(reader, better):
    llm, rlm, tips = better.arms.all()
    assert "better on 0 of 3 examples, worse on 3" in html(reader, address_of([rlm, llm]))
    assert "better on 0 of 3 examples, worse on 3" in html(reader, address_of([llm, rlm], f"baseline={rlm.pk}"))
    assert "better on 0 of 3 examples, worse on 3" in html(
        reader, address_of([rlm, tips, llm], f"second={llm.pk}")
    )
    assert "Is B RLM better than A LLM?" in html(reader, address_of([llm, tips, rlm], f"without={tips.pk}"))
    page = html(reader, address_of([llm, rlm], "unscored=zero"))
    assert f'<button class="link" name="baseline" value="{rlm.pk}"' in page
    assert f'href="?arm={rlm.pk}&amp;arm={llm.pk}&amp;unscored=zero">Swap A and B' in page


def test_the_switch_says_what_it_does(reader, played):
    arms = played.arms.all()
    assert "What ended without one is left out." in html(reader, address_of(arms))
    page = html(reader, address_of(arms, "unscored=zero"))
    assert "What ended without one is counted as zero." in page
    assert 'class="reward" data-step="0"' in page
    common = html(reader, address_of(arms, "unscored=common"))
    assert "and so is the same example in every other arm" in common
    assert 'class="left-out"' in common


def test_verdicts_are_a_table_with_forest_plots(reader, better):
    llm, rlm, _ = better.arms.all()
    page = " ".join(html(reader, address_of([llm, rlm])).split())
    table = re.search(r'<table class="verdicts">.*?</table>', page)[0]
    baseline, row = re.findall(r"<tr> .*?</tr>", table)
    assert "baseline" in baseline
    assert "3 / 0 / 0" in row
    assert 'class="forest"' in row
    assert "better on 3 of 3 examples" in row  # the sentence, on demand


def test_the_control_tells_the_means_of_each_choice(reader, played):
    arms = played.arms.all()
    page = " ".join(html(reader, address_of(arms)).split())
    counted = dict(re.findall(r">(Exclude|Count as 0|Common examples only) <small>n (\d+)</small>", page))
    scored = played.rollouts().exclude(reward=None).count()
    assert counted["Exclude"] == str(scored)
    assert counted["Count as 0"] == str(scored + 2)
    assert "Effect on" in page


def test_arms_of_two_experiments_meet_on_their_examples(reader, better):
    other = make_experiment(name="another", scaffolds=("rlm_tips",), models=("gpt",))
    end(other, reward=lambda rollout: 1.0)
    page = html(reader, address_of([better.arms.first(), other.arms.get()]))
    assert "better on 3 of 3 examples" in page
    assert f'href="{other.get_absolute_url()}"' in page
    assert page.count("<tr data-row>") == 3


def test_no_common_example_is_said(reader, better):
    other = make_experiment(name="apart", environments=("oolong",), scaffolds=("llm",))
    end(other)
    page = html(reader, address_of([better.arms.first(), other.arms.get()]))
    assert "they have no example in common" in page
    assert "compare-differences" not in page
    assert page.count("<tr data-row>") == 6


def test_one_arm_alone_has_numbers(reader, better):
    page = html(reader, address_of([better.arms.first()]))
    assert "nothing to be compared with" in page
    assert "Add arms" in page
    assert "Swap" not in page


@pytest.mark.parametrize(
    "query",
    [
        *("arm=x", "arm=0", "arm=-1", "arm=99999999999999999999", "page=0", "baseline=x"),
        *("unscored=x", "show=x", "sort=x", "measure=x"),
    ],
)
def test_what_is_not_understood_is_refused(reader, better, query):
    html(reader, f"{address_of([better.arms.first()])}&{query}", status=400)


def test_an_arm_that_does_not_exist_is_said(reader, better):
    html(reader, "/compare/?arm=987654321", status=404)
    html(reader, "/api/compare/?arm=987654321", status=404)
    html(reader, "/api/compare/", status=404)
    page = html(reader, address_of([better.arms.first(), 987654321], "sort=-987654321"))
    assert "Arm 987654321 does not exist, or not any more." in page
    page = html(reader, address_of([better.arms.first()], "page=9"))
    assert "There is no such page." in page


@pytest.fixture
def many(db):
    """More arms than a comparison holds, on 60 examples."""
    experiment = make_experiment(
        name="many",
        scaffolds=("llm", "rlm", "rlm_tips"),
        models=tuple(f"model-{n}" for n in range(9)),
        examples=60,
    )
    end(experiment)
    return experiment


def test_24_arms_fit_on_every_page(reader, many):
    arms = list(many.arms.all())
    page = html(reader, address_of(arms))
    assert "A comparison has room for 24 arms: 3 arms of the address are left out." in page
    assert page.count('<strong class="letter">X</strong>') == 2
    assert len(LETTERS) >= MOST_ARMS
    for more in ("measures=all&settings=all", "unscored=zero", "pick=1", "page=2"):
        html(reader, address_of(arms, more))
        html(reader, "/api" + address_of(arms, more))


def test_long_names_and_many_settings_fit_as_well(reader, db):
    """Seven-digit ids, names of the greatest length, many settings, two repetitions."""
    with connection.cursor() as cursor:
        for table in ("rlm_runs_rollout", "rlm_runs_arm"):
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), 1234567)", [table])
    settings = {f"setting number {n}": "<long & wide> " * 40 for n in range(12)}
    experiment = make_experiment(
        name="&" * 200,
        environments=[("oolong", settings)],
        scaffolds=("llm", "rlm", "rlm_tips"),
        models=tuple(f"<model {n} {'&' * 180}>" for n in range(8)),
        examples=60,
        repetitions=2,
    )
    Rollout.objects.filter(experiment=experiment).update(status="completed", stop_reason="x", reward=0.123456)
    arms = list(experiment.arms.all())
    for more in ("", "measures=all&settings=all", "pick=1&find-experiment=x"):
        html(reader, address_of(arms, more))
        html(reader, "/api" + address_of(arms, more))


def test_repetitions_are_each_a_link(reader):
    experiment = make_experiment(scaffolds=("llm", "rlm"), repetitions=3)
    end(experiment)
    arms = list(experiment.arms.all())
    page = html(reader, address_of(arms))
    for rollout in experiment.rollouts():
        assert f'<a href="/rollouts/{rollout.pk}/" title="r{rollout.repetition + 1}">' in page
    assert f"/rollouts/?q=arm%3A{arms[0].pk}+example%3A1" in page
    assert "×3" in page


def test_queries_do_not_grow(reader, better, many):
    counts = []
    for arms in (list(better.arms.all()[:2]), list(many.arms.all()[:MOST_ARMS])):
        with CaptureQueriesContext(connection) as found:
            html(reader, address_of(arms, "unscored=common"))
        counts.append(len(found))
        assert not [query for query in found.captured_queries if "rlm_runs_text" in query["sql"]]
    assert counts[0] == counts[1] <= 4


def test_the_matrix_filters_sorts_and_pages(reader, many):
    llm, rlm = many.arms.all()[:2]
    Rollout.objects.filter(arm=llm).update(reward=0.0)
    Rollout.objects.filter(arm=rlm, example_position__gte=20).update(reward=0.0)
    Rollout.objects.filter(arm=rlm, example_position__lt=20).update(reward=1.0)
    arms = [llm, rlm]
    first = html(reader, address_of(arms))
    assert first.count("<tr data-row>") == 50
    assert "1 to 50 of 60" in first
    assert html(reader, address_of(arms, "page=2")).count("<tr data-row>") == 10
    shown = html(reader, address_of(arms, "show=b"))
    assert shown.count("<tr data-row>") == 20
    for words in ("Disagreements <small>20", "A wins <small>0", "B wins <small>20", "All wrong <small>40"):
        assert words in shown
    assert "No example is like that." in html(reader, address_of(arms, "show=a"))
    rising = html(reader, address_of(arms, f"sort={rlm.pk}"))
    assert 'aria-sort="ascending"' in rising
    numbers = re.findall(r'<th scope="row"><a href="[^"]*">#(\d+)</a>', rising)
    assert numbers[:2] == ["21", "22"]


def test_a_row_opens_two_replays_and_a_cell_one(reader, better):
    llm, rlm, _ = better.arms.all()
    page = html(reader, address_of([llm, rlm]))
    a, b = (arm.rollouts.get(example_position=0) for arm in (llm, rlm))
    assert f'href="/compare/rollouts/?a={a.pk}&amp;b={b.pk}&amp;arm={llm.pk}&amp;arm={rlm.pk}"' in page
    assert f'data-step="10" href="/rollouts/{b.pk}/"' in page


def test_json_has_the_numbers(reader, better):
    llm, rlm, tips = better.arms.all()
    found = reader.get("/api" + address_of([llm, rlm, tips])).json()
    assert [arm["id"] for arm in found["arms"]] == [llm.pk, rlm.pk, tips.pk]
    assert found["arms"][2]["outcomes"]["unfinished"] == 3
    reward = found["measures"][0]
    assert (reward["name"], reward["mean"]) == ("reward", [0.0, 1.0, None])
    assert reward["against_first"]["better"] == [None, 3, None]
    assert reward["against_first"]["p"] == [None, 0.25, None]
    assert found["matrix"]["examples"] == 3
    rollout = llm.rollouts.get(example_position=0)
    assert found["matrix"]["rows"][0]["rollouts"][0] == [[rollout.pk, 1, 0.0, "scored"]]
    assert found["settings"] == [
        {"group": "scaffold", "name": "name", "values": ["LLM", "RLM", "RLM+tips"]},
    ]


def lines(reader, address):
    response = reader.get(address)
    assert response["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))


def test_csv_has_all_of_it(reader, many):
    arms = list(many.arms.all()[:3])
    Arm.objects.filter(pk=arms[1].pk).update(model='=HYPERLINK("x")')
    rows = lines(reader, address_of(arms, "page=2").replace("/compare/", "/compare/matrix.csv"))
    assert len(rows) == 180  # all pages
    assert {int(row["rollout_id"]) for row in rows} == set(
        Rollout.objects.filter(arm__in=arms).values_list("pk", flat=True)
    )
    measures = lines(reader, address_of(arms, "measures=all").replace("/compare/", "/compare/measures.csv"))
    assert len(measures) == 3 * len(MEASURES)
    second = measures[1]
    reward = reader.get("/api" + address_of(arms)).json()["measures"][0]
    assert float(second["mean"]) == reward["mean"][1]
    assert float(second["p"]) == reward["against_first"]["p"][1]
    assert not [row["arm"] for row in rows if row["arm"].startswith("=")]


def test_csv_of_names_that_no_text_may_hold(reader, better):
    arms = list(better.arms.all()[:2])
    Arm.objects.filter(pk=arms[1].pk).update(environment_settings=storable({"k": "\ud800\x00\u202e"}))
    for name in ("matrix", "measures"):
        rows = lines(reader, address_of(arms).replace("/compare/", f"/compare/{name}.csv"))
        assert any("⟨U+D800⟩␀⟨U+202E⟩" in row["arm"] for row in rows), name


def test_names_are_escaped(reader, db):
    experiment = make_experiment(
        name=HOSTILE.replace("\x00", "").replace("\x1a", "").replace("\ud800", ""),
        environments=[("<b>oolong</b>", {"</script>": "<script>alert(1)</script>"}), ("oolong", {"path": "b"})],
        models=("<img src=x onerror=alert(1)>",),
        scaffolds=("llm", "<i>mine</i>"),
    )
    end(experiment)
    arms = list(experiment.arms.all())
    for address in (address_of(arms), address_of(arms, "settings=all&measures=all&pick=1"), "/compare/"):
        page = html(reader, address)
        for part in ("<script>alert", "<img src=x", "<b>oolong", "<i>mine", "\u202e"):
            assert part not in page, part


def test_settings_that_differ_and_all_on_demand(reader, better):
    llm, rlm, _ = better.arms.all()
    Arm.objects.filter(pk=rlm.pk).update(
        scaffold_settings={"cell_time_limit": 300}, sampling={"temperature": 0.7}, judge_model="a-judge"
    )
    page = html(reader, address_of([llm, rlm]))
    for words in ("cell_time_limit", "temperature", "a-judge"):
        assert words in page, words
    assert "code version" not in page
    assert "code version" in html(reader, address_of([llm, rlm], "settings=all"))


def test_the_picker_finds_arms_and_adds_them(reader, better):
    other = make_experiment(name="another", environments=("oolong", "verbatim-copy"), models=("gpt",))
    page = html(reader, "/compare/")
    assert "Nothing is compared yet" in page
    every = "&amp;".join(f"arm={pk}" for pk in other.arms.values_list("pk", flat=True))
    assert f'href="?{every}">Add all 6 arms' in page
    first = better.arms.first()
    page = html(reader, address_of([first], "find-environment=oolong&find-scaffold=rlm"))
    added = other.arms.get(environment="oolong", scaffold="rlm")
    assert f'href="?arm={first.pk}&amp;arm={added.pk}" aria-label="Add' in page
    assert page.count('aria-label="Add') == 1
    assert "No other arm is like that." in html(reader, address_of([first], "find-experiment=nothing"))
    assert "Select a valid choice" in html(reader, "/compare/?find-model=x")


def test_an_empty_store_says_how_to_begin(reader):
    assert "There are no arms yet" in html(reader, "/compare/")


def test_prompts_are_those_that_were_stored(reader, better):
    llm, rlm, tips = better.arms.all()
    page = html(reader, address_of([llm, rlm]).replace("/compare/", "/compare/prompts/"))
    assert "system prompt" in page
    assert "the same</p>" in page  # both were told the same by the system
    assert "<del>Copy</del>" in page
    assert "on the same example" in page
    fragment = reader.get(
        address_of([llm, rlm]).replace("/compare/", "/compare/prompts/"), headers={"HX-Request": "true"}
    ).content.decode()
    assert "<html" not in fragment
    none = html(reader, address_of([llm, tips]).replace("/compare/", "/compare/prompts/"))
    assert "No conversation of B RLM+tips was recorded." in none
    html(reader, address_of([llm]).replace("/compare/", "/compare/prompts/"), status=404)


def test_prompts_of_hostile_conversations_are_escaped(reader, played):
    played.rollouts().filter(arm__scaffold="rlm").exclude(example_position=2).delete()
    arms = [played.arms.get(scaffold="rlm"), played.arms.get(scaffold="rlm_tips")]
    page = html(reader, address_of(arms).replace("/compare/", "/compare/prompts/"))
    assert "<script>alert" not in page
    assert "␀" in page


def test_a_list_of_rollouts_leads_here(reader, better):
    every = "&amp;".join(f"arm={pk}" for pk in sorted(better.arms.values_list("pk", flat=True)))
    link = f'href="/compare/?{every}">Compare the arms of these rollouts'
    assert link in html(reader, f"/experiments/{better.slug}/rollouts/")
    assert "Compare the arms" not in html(
        reader, f"/experiments/{better.slug}/rollouts/?q=arm:{better.arms.first().pk}"
    )


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published rows of Oolong are not beside the repository")
def test_published_rows_say_what_a_bar_chart_hides(reader):
    """The RLM looks better with refused prompts as zeros; on accepted prompts there is no difference."""
    experiment = make_experiment(environments=("oolong",), models=("gpt-5-mini",), examples=50)
    rows = {}
    for row in csv.DictReader(PUBLISHED.read_text().splitlines()):
        rows.setdefault({"standard": "llm"}.get(row["mode"], row["mode"]), []).append(row)
    for rollout in experiment.rollouts().select_related("arm"):
        row = rows[rollout.arm.scaffold][rollout.example_position]
        refused = rollout.arm.scaffold == "llm" and float(row["turns"]) == 0
        Rollout.objects.filter(pk=rollout.pk).update(
            status="failed" if refused else "completed",
            stop_reason="prompt_too_long" if refused else "imported",
            reward=None if refused else float(row["judge_reward"]),
            main_prompt_tokens=float(row["prompt_tokens"]),
            main_completion_tokens=float(row["completion_tokens"]),
        )
    arms = list(experiment.arms.all())
    read = html(reader, address_of(arms))
    for words in (
        "A: 27 too long, of 50 rollouts",
        "better on 1 of 23 examples, worse on 1, the same on 21; 0 (95 % ",
        "With the 27 that ended without a reward counted as zero: better on 7 of 50 examples, worse on 1; +0.12;",
    ):
        assert words in read, words
    zero = html(reader, address_of(arms, "unscored=zero"))
    assert "better on 7 of 50 examples, worse on 1, the same on 42" in zero
    assert "p = 0.070, exact McNemar" in zero
    assert "With the 27 that ended without a reward left out: better on 1 of 23 examples, worse on 1" in zero
    assert "better on 4 of 50 examples, worse on 0, the same on 46" in zero
    found = reader.get("/api" + address_of(arms)).json()["measures"][0]
    assert found["against_first"]["n"] == [None, 23, 23]
    assert found["against_first"]["difference"][1] == 0.0
    by_zero = reader.get("/api" + address_of(arms, "unscored=zero")).json()["measures"]
    assert by_zero[0]["mean"] == pytest.approx([0.02, 0.14, 0.10], abs=1e-9)
    main = next(row for row in by_zero if row["name"] == "main_tokens")
    published = [75_454.32 + 1_305.1, 156_765.54 + 11_832.88, 69_169.34 + 6_362.7]
    assert main["mean"] == pytest.approx(published, abs=1e-6)
