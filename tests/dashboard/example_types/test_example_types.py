"""Results by type of example: a dispute that pooled means hide, in numbers, in a plot and as data."""

import csv
import io
import json
import re

import pytest

from dashboard.charts.forest import WIDTH, Estimate, Scale
from rlm_runs.analysis.aggregates import Unscored
from rlm_runs.analysis.aggregates.example_types import by_type, type_keys
from rlm_runs.analysis.statistics import compare_paired, examples_for_binary, holm
from rlm_runs.models import Example
from tests.factories.rollout_rows import Plan, make, snapshot

TASKS = ("count", "compare")


def metadata(number):
    return {"task": TASKS[number % 2], "length": 1_000 * (number + 1), "same": 1}


def opposed(rng, arm, number):
    """RLM is right where the task is counting, LLM where it is comparing; each nearly always."""
    is_counting, is_rlm = number % 2 == 0, arm.scaffold == "rlm"
    slip = number % 17 == 3
    return {"reward": float((is_counting == is_rlm) != slip)}


@pytest.fixture
def dispute(db):
    return make([Plan(scaffold="llm"), Plan(scaffold="rlm")], examples=50, metadata=metadata, row=opposed)


def html(reader, address):
    response = reader.get(address)
    assert response.status_code == 200, address
    return " ".join(response.content.decode().split())


def test_each_type_is_a_paired_comparison_of_its_own_corrected_for_all(dispute):
    found = by_type(snapshot(dispute), "task", unscored=Unscored.EXCLUDE, effect=0.1)
    assert [(row.value.label, row.paired.n) for row in found.rows] == [("compare", 25), ("count", 25)]
    compare, count = found.rows
    expected = []
    for row, task in ((compare, "compare"), (count, "count")):
        rewards = {
            arm.pk: [
                r.reward
                for r in arm.rollouts.order_by("example_position")
                if metadata(r.example_position)["task"] == task
            ]
            for arm in dispute.arms.all()
        }
        alone = compare_paired(rewards[row.baseline.pk], rewards[row.arm.pk])
        assert row.paired == alone
        expected.append(alone.p)
    assert [compare.p, count.p] == pytest.approx(holm(expected).tolist())
    assert compare.paired.mean_difference < -0.8 < 0.8 < count.paired.mean_difference


def test_that_the_difference_depends_on_the_type_is_tested(dispute):
    (found,) = by_type(snapshot(dispute), "task", unscored=Unscored.EXCLUDE, effect=0.1).dependences
    assert (found.low.value.label, found.high.value.label) == ("compare", "count")
    assert found.p < 0.001
    (length,) = by_type(snapshot(dispute), "length", unscored=Unscored.EXCLUDE, effect=0.1).dependences
    assert length.p > 0.05


def test_the_number_needed_is_for_the_level_after_correction(dispute):
    found = by_type(snapshot(dispute), "task", unscored=Unscored.EXCLUDE, effect=0.2)
    row = found.rows[0]
    n, better, worse = row.paired.n, row.paired.better, row.paired.worse
    assert row.needed == examples_for_binary(better=better / n, worse=worse / n, alpha=0.025)
    differing = (better + worse) / n
    assert row.needed_for_effect == examples_for_binary(
        better=(differing + 0.2) / 2, worse=(differing - 0.2) / 2, alpha=0.025
    )
    smaller = by_type(snapshot(dispute), "task", unscored=Unscored.EXCLUDE, effect=0.05).rows[0]
    assert smaller.needed_for_effect > row.needed_for_effect
    assert smaller.needed == row.needed


def test_numbers_with_many_values_are_binned_and_keys_without_a_choice_are_none(dispute):
    now = snapshot(dispute)
    assert type_keys(now) == ("task", "length")
    labels = [row.value.label for row in by_type(now, "length", unscored=Unscored.EXCLUDE, effect=0.1).rows]
    assert 3 <= len(labels) <= 5


def test_an_environment_without_the_key_has_no_rows(db):
    plans = [Plan(scaffold=name, environment=env) for env in ("oolong", "math-python") for name in ("llm", "rlm")]
    made = make(plans, examples=20, metadata=metadata, row=opposed)
    Example.objects.filter(environment="math-python").update(metadata={})
    found = by_type(snapshot(made), "task", unscored=Unscored.EXCLUDE, effect=0.1)
    assert {row.environment for row in found.rows} == {"oolong"}


def test_the_page_shows_it(reader, dispute):
    page = html(reader, f"/experiments/{dispute.slug}/types/")
    assert "Does the difference depend on task?" in page
    assert "<strong>yes</strong>, p &lt; 0.001" in page
    assert "p corrected for 2 comparisons by Holm" in page
    plots = re.findall(r'<svg class="forest is-clear".*?</svg>', page)
    assert len(plots) == 2
    assert "style=" not in "".join(plots)
    rlm = dispute.arms.get(scaffold="rlm").pk
    assert f"q=arm%3A{rlm}%2C" in page
    assert f'href="/experiments/{dispute.slug}/types/"' in html(reader, dispute.get_absolute_url())


def test_the_number_links_to_the_rollouts_behind_it(reader, dispute):
    page = html(reader, f"/experiments/{dispute.slug}/types/?key=task")
    link = re.search(rf'href="(/experiments/{dispute.slug}/rollouts/[?]q=[^"]+)">25</a>', page)[1]
    address = link.replace("&amp;", "&")
    found = json.loads(reader.get("/api" + address).content)
    assert found["count"] == 50


def test_json_and_csv_have_the_same_numbers(reader, dispute):
    found = json.loads(reader.get(f"/api/experiments/{dispute.slug}/types/?key=task&effect=0.2").content)
    assert (found["key"], found["effect"], found["comparisons"]) == ("task", 0.2, 2)
    body = reader.get(f"/experiments/{dispute.slug}/types/data.csv?key=task&effect=0.2").content.decode()
    lines = list(csv.DictReader(io.StringIO(body)))
    assert [float(line["corrected_p"]) for line in lines] == [row["corrected_p"] for row in found["rows"]]
    assert [int(line["n_needed"]) for line in lines] == [row["n_needed"] for row in found["rows"]]


def test_unknown_keys_and_effects_fall_back(reader, dispute):
    page = html(reader, f"/experiments/{dispute.slug}/types/?key=nosuch&effect=7")
    assert "n for 0.1" in page


def test_examples_without_metadata_say_so(reader, db):
    made = make([Plan(scaffold="llm"), Plan(scaffold="rlm")], examples=4)
    assert "have no metadata in which they differ" in html(reader, f"/experiments/{made.slug}/types/")
    assert json.loads(reader.get(f"/api/experiments/{made.slug}/types/").content)["rows"] == []


def test_the_scale_shows_every_interval(dispute):
    rows = by_type(snapshot(dispute), "task", unscored=Unscored.EXCLUDE, effect=0.1).rows
    scale = Scale.of(Estimate.of(row.paired, p=row.p) for row in rows)
    assert scale.reach == 1.0
    assert scale.x(-1) == 6 < scale.x(0) == WIDTH / 2 < scale.x(1) == WIDTH - 6
    assert Scale.of([]).reach == 1.0
