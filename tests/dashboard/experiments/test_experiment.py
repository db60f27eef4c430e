"""The experiment page: verdicts, numbers and progress."""

import json
import re

from rlm_runs.analysis.aggregates import Progress, forget
from rlm_runs.models import Rollout
from tests.factories.rollout_rows import Plan, make
from tests.factories.traces import make_experiment, play_llm, play_rlm


def html(reader, address):
    response = reader.get(address)
    assert response.status_code == 200, address
    return response.content.decode()


def test_it_says_all_that_an_arm_came_to(reader, played):
    page = html(reader, played.get_absolute_url())
    for words in (
        "Which scaffold wins where?",
        "1 too long",
        "1 failed",
        "simulated model",
        "process sandbox: no walls",
        f"/experiments/{played.slug}/rollouts/?q=arm%3A",
    ):
        assert words in page, words
    arms = html(reader, f"{played.get_absolute_url()}arms/")
    for words in (
        "unpriced",
        "over the scored rollouts only",
        "1 too long",
        "1 failed",
        "process sandbox: no walls",
    ):
        assert words in arms, words


def test_the_first_screen_has_at_most_five_numbers(reader, played):
    page = html(reader, played.get_absolute_url())
    numbers = re.search(r'<ul id="numbers".*?</ul>', page, re.DOTALL)[0]
    labels = re.findall(r"<li><span>(.*?)</span>", numbers)
    assert labels == ["Best mean reward", "Clear differences", "Cost", "Unscored", "Time per rollout"]
    values = re.findall(r'class="value[^>]*>(.*?)<', numbers)
    unscored = played.rollouts().filter(status__in=["completed", "failed"], reward=None).count()
    assert values[3] == str(unscored) == "2"
    assert f'{played.slug}/rollouts/?q=outcome%3Atoo_long">1 too long' in numbers


def test_sections_have_addresses_and_say_where_one_is(reader, played):
    labels = ["Overview", "Figures", "Arms", "Behaviour", "Rollouts", "Settings", "Log"]
    tabs = re.search(r'<nav class="tabs".*?</nav>', html(reader, played.get_absolute_url()), re.DOTALL)[0]
    found = re.findall(r'<a href="([^"]+)"[^>]*>(.*?)</a>', tabs)
    assert [label for _, label in found] == labels
    for address, label in found:
        assert f'<a href="{address}" aria-current="page">{label}</a>' in html(reader, address)


def test_an_address_that_sorted_the_arms_leads_to_them(reader, played):
    response = reader.get(f"{played.get_absolute_url()}?unscored=zero&sort=-reward")
    assert (response.status_code, response.url) == (
        302,
        f"{played.get_absolute_url()}arms/?unscored=zero&sort=-reward",
    )


def test_the_control_shows_what_each_choice_does_to_the_means(reader, db):
    def row(rng, arm, number):
        if arm.scaffold == "llm" and number >= 6:
            return {"status": "failed", "stop_reason": "prompt_too_long"}
        return {"reward": float(number < 3 or (arm.scaffold == "rlm" and number >= 8))}

    experiment = make([Plan(), Plan(scaffold="rlm")], examples=10, row=row)
    page = " ".join(html(reader, f"{experiment.get_absolute_url()}?unscored=zero").split())
    assert "Unscored rollouts <strong>4</strong>" in page
    assert re.findall(r">(Exclude|Count as 0|Common examples only) <small>n (\d+)</small>", page) == [
        ("Exclude", "16"),
        ("Count as 0", "20"),
        ("Common examples only", "12"),
    ]
    effects = re.search(r'<details class="drop effects">.*?</details>', page)[0]
    means = re.findall(
        r'<td class="num[^"]*">(?:<strong>)?([\d.]+)(?:</strong>)? <span class="sub">\((\d+)\)', effects
    )
    assert means == [("0.50", "6"), ("0.30", "10"), ("0.50", "6"), ("0.50", "10"), ("0.50", "10"), ("0.50", "6")]
    assert "Effect on" not in html(reader, make([Plan()], examples=2).get_absolute_url())


def test_the_figure_comes_as_data(reader, played):
    page = html(reader, played.get_absolute_url())
    found = re.search(r'<script id="figure-json" type="application/json">(.*?)</script>', page, re.DOTALL)
    figure = json.loads(found[1])
    assert [trace["name"] for trace in figure["panels"][0]["data"]] == ["LLM", "RLM", "RLM+tips"]


def test_the_switch_is_in_the_url_and_in_words(reader, played):
    page = html(reader, f"{played.get_absolute_url()}?unscored=zero")
    assert "count as reward 0" in page
    arms = f"{played.get_absolute_url()}arms/"
    assert "failed and too long with a reward of zero" in html(reader, f"{arms}?unscored=zero")
    assert "over the examples that all arms finished" in html(reader, f"{arms}?unscored=common")
    assert html(reader, f"{played.get_absolute_url()}?unscored=nonsense").count("are left out")


def test_words_compare_with_the_llm(reader, queued):
    for rollout in queued.rollouts().select_related("arm", "example"):
        play = play_llm if rollout.arm.scaffold == "llm" else play_rlm
        play(rollout, reward=float(rollout.arm.scaffold != "llm"))
    page = html(reader, queued.get_absolute_url())
    assert "better on 3 of 3 examples, worse on 0, Δ +1.00" in page
    assert "p = 0.25 (exact McNemar), p = 0.50 after Holm" in page
    assert "not clearly different from" in page


def test_before_the_first_reward_it_says_so(reader, queued):
    page = html(reader, queued.get_absolute_url())
    assert "no example has a reward in both yet" in page
    assert "waiting for a worker" in page
    assert "none scored" in html(reader, f"{queued.get_absolute_url()}arms/")


def test_what_a_third_arm_took_away_is_not_called_unrewarded(reader, db):
    """Two arms with rewards may have no common example; the page says so."""

    def row(rng, arm, number):
        return {"reward": None, "status": "failed"} if arm.scaffold == "rlm_tips" else {"reward": 1.0}

    experiment = make([Plan(), Plan(scaffold="rlm"), Plan(scaffold="rlm_tips")], examples=3, row=row)
    page = html(reader, f"{experiment.get_absolute_url()}?unscored=common")
    assert page.count("There is no example that all arms finished.") == 1  # in short
    assert page.count("(there is no example that all arms finished)") == 2  # of RLM, and of RLM+tips
    assert not re.search("[Nn]o (rollout|example) has a reward", page)
    open_page = html(reader, experiment.get_absolute_url())
    assert "better on 0 of 3 examples" in open_page
    assert "(no example has a reward in both)" in open_page
    Rollout.objects.filter(arm__scaffold="rlm_tips", example_position=0).update(status="queued")
    forget()
    assert "that all arms finished yet" in html(reader, f"{experiment.get_absolute_url()}?unscored=common")


def test_it_polls_while_unfinished_and_stops(reader, queued, played):
    other = make_experiment(name="under way")
    assert 'hx-trigger="every 1s"' in html(reader, other.get_absolute_url())
    assert "every 1s" not in html(reader, played.get_absolute_url())


def test_nothing_is_sent_while_nothing_changed(reader, queued):
    page = html(reader, queued.get_absolute_url())
    address = re.search(r'hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
    assert reader.get(address).status_code == 204
    play_llm(queued.rollouts().filter(arm__scaffold="llm").first())
    changed = reader.get(address)
    assert changed.status_code == 200
    fragment = changed.content.decode()
    assert "1 / 9 rollouts" in fragment
    assert 'id="numbers" class="numbers" aria-label="At a glance" hx-swap-oob="true"' in fragment
    assert changed.headers["HX-Trigger"] == "figures-changed"
    assert "<html" not in fragment
    page = html(reader, f"{queued.get_absolute_url()}arms/")
    address = re.search(r'hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
    assert reader.get(address).status_code == 204
    play_llm(queued.rollouts().filter(arm__scaffold="llm", status="queued").first())
    fragment = reader.get(address).content.decode()
    assert 'id="arms" aria-labelledby="arms-title" hx-swap-oob="true"' in fragment


def test_it_is_cancelled_by_a_post_only(reader, queued):
    address = f"{queued.get_absolute_url()}cancel/"
    assert reader.get(address).status_code == 405
    assert reader.post(address).url == queued.get_absolute_url()
    assert set(queued.rollouts().values_list("status", flat=True)) == {"cancelled"}
    page = html(reader, queued.get_absolute_url())
    assert "9 cancelled" in page
    assert "/cancel/" not in page


def test_queries_do_not_grow(reader, played, django_assert_num_queries):
    larger = make_experiment(
        name="larger", environments=("verbatim-copy", "oolong"), examples=8, models=("a", "b")
    )
    for experiment in (played, larger):
        with django_assert_num_queries(15):
            reader.get(experiment.get_absolute_url())
    with django_assert_num_queries(6):  # session, user, experiment, whether anything changed, circuits, tags
        reader.get(played.get_absolute_url())


def test_what_users_wrote_is_escaped(reader, db):
    experiment = make_experiment(
        name="<script>alert(1)</script>",
        description="</script><img src=x>",
        environments=[("oolong", {"path": "</script><script>alert(2)</script>"}), ("oolong", {"path": "b"})],
    )
    play_llm(experiment.rollouts().filter(arm__scaffold="llm").first())
    page = html(reader, experiment.get_absolute_url())
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_a_running_rollout_is_not_called_unpriced(reader, queued):
    rollout = queued.rollouts().first()
    Rollout.objects.filter(pk=rollout.pk).update(status="running")
    assert "unpriced" not in html(reader, queued.get_absolute_url())


def test_arms_sort_by_any_column_and_those_without_a_value_come_last(reader, played):
    def order(query):
        page = html(reader, f"{played.get_absolute_url()}arms/?{query}")
        return re.findall(r'q=arm%3A\d+"><span class="scaffold scaffold-(\w+)"', page)

    assert order("") == ["llm", "rlm", "rlm_tips"]
    assert order("sort=calls")[0] == "llm"
    assert order("sort=-calls")[-1] == "llm"
    assert order("sort=nonsense") == ["llm", "rlm", "rlm_tips"]


def test_the_insight_of_oolong_real_stands_on_the_page(reader, db):
    """The page says both verdicts where excluding and counting as zero disagree."""

    def row(rng, arm, number):
        if arm.scaffold == "llm" and number >= 23:
            return {"status": "failed", "stop_reason": "prompt_too_long"}
        solved = number in ({0} if arm.scaffold == "llm" else {1, 30, 31, 32, 33, 34, 35})
        return {"reward": float(solved)}

    experiment = make([Plan(scaffold="llm"), Plan(scaffold="rlm")], examples=50, row=row)
    page = html(reader, experiment.get_absolute_url())
    assert "better on 1 of 23 examples, worse on 1, Δ 0.00" in page
    assert "With 27 of LLM too long counted as zero, on 50 examples: better on 7, worse on 1, Δ +0.12" in page
    assert "27 too long are left out. Counted as zero, the mean reward of LLM would be 0.02 (n 50)" in page
    zero = html(reader, f"{experiment.get_absolute_url()}?unscored=zero")
    assert "p = 0.070 (exact McNemar)" in zero
    assert "On the 23 examples that both finished (27 of LLM too long): better on 1, worse on 1, Δ 0.00" in zero


def test_verdicts_are_a_table_with_a_forest_plot(reader, db):
    def row(rng, arm, number):
        return {"reward": float(arm.scaffold == "rlm" or number < 2), "cost": 2 if arm.scaffold == "rlm" else 1}

    experiment = make(
        [Plan(scaffold="llm"), Plan(scaffold="rlm"), Plan(scaffold="rlm_tips")], examples=20, row=row
    )
    page = html(reader, experiment.get_absolute_url())
    table = re.search(r'<table class="verdicts">.*?</table>', page, re.DOTALL)[0]
    better, same = re.findall(r"<tr>\s*<td><details.*?</tr>", table, re.DOTALL)
    assert "18 / 2 / 0" in better
    assert 'class="forest is-clear"' in better
    assert "2.0 ×" in better
    assert "0 / 20 / 0" in same
    assert 'class="forest"' in same
    assert "<strong>beats</strong>" in better
    assert len(re.findall('<svg class="outcomes"', table)) == 2


def test_repetitions_have_their_pass_rates(reader, db):
    def row(rng, arm, number):
        return {"reward": float(rng.random() < 0.5)}

    experiment = make([Plan(), Plan(scaffold="rlm")], examples=6, repetitions=4, row=row)
    page = html(reader, f"{experiment.get_absolute_url()}arms/")
    for words in ("pass@1", "pass@2", "pass@4", "pass^2", "pass^4"):
        assert words in page, words
    once = make([Plan(), Plan(scaffold="rlm")], examples=6, row=row)
    assert "pass@1" not in html(reader, f"{once.get_absolute_url()}arms/")


def test_progress_is_told_to_the_last_rollout(reader, queued, monkeypatch):
    """A rounded count of a hundred thousand would not change for minutes."""
    progress = Progress(total=100_000, completed=50_035, running=12, failed=1_200)
    monkeypatch.setattr("dashboard.experiments.views.aggregates.snapshot_progress", lambda snapshot: progress)
    told = html(reader, queued.get_absolute_url())
    assert "51,235 / 100,000 rollouts" in " ".join(told.split())
    assert "48,753 queued" in told


def test_it_pauses_and_resumes(reader, queued):
    page = reader.get(queued.get_absolute_url()).content.decode()
    assert ">Pause<" in page
    assert ">Resume<" not in page
    page = reader.post(f"/experiments/{queued.slug}/pause/", follow=True).content.decode()
    assert ">Resume<" in page
    assert "paused" in page
    assert "celery --app" not in page
    page = reader.post(f"/experiments/{queued.slug}/resume/", follow=True).content.decode()
    assert ">Pause<" in page
