"""The article's own rows, where they are present: the published means come out."""

import csv
import math
from pathlib import Path

import pytest

from dashboard import charts
from rlm_runs.analysis import aggregates
from rlm_runs.analysis.aggregates import Unscored
from rlm_runs.experiments.importer import import_paths
from tests.factories.rollout_rows import snapshot

ROWS = Path(__file__).resolve().parents[4] / "shared/data/oolong_real_gpt5mini_raw_results.csv"
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not ROWS.exists(), reason="the article's rows are not beside this checkout"),
]
MODES = {"LLM": "standard", "RLM": "rlm", "RLM+tips": "rlm_tips"}


@pytest.fixture
def taken():
    (imported,) = import_paths([ROWS])
    return snapshot(imported.experiment)


@pytest.fixture
def published():
    """Mode → its rows; the k-th row of each mode is the same example."""
    with ROWS.open() as lines:
        rows = list(csv.DictReader(lines))
    return {label: [row for row in rows if row["mode"] == mode] for label, mode in MODES.items()}


def points(taken, name, **asked):
    form = charts.FigureForm(asked, snapshot=taken, opens=charts.opening_query(charts.FIGURES[name], taken))
    return charts.chart(taken, form.asked()).points


def mean(rows, *columns):
    return math.fsum(float(row[column]) for row in rows for column in columns) / len(rows)


def test_means_with_refusals_as_zero_are_those_published(taken, published):
    columns = {
        "main prompt tokens": "prompt_tokens",
        "main completion tokens": "completion_tokens",
        "sub-LLM prompt tokens": "sub_llm_prompt_tokens",
        "sub-LLM completion tokens": "sub_llm_completion_tokens",
    }
    for point in points(taken, "tokens", unscored="zero"):
        expected = mean(published[point.series.name], columns[point.measure])
        assert point.value.mean == pytest.approx(expected, rel=1e-9)
    for point in points(taken, "reward", unscored="zero"):
        assert point.value.mean == pytest.approx(mean(published[point.series.name], "judge_reward"), rel=1e-9)
    for point in points(taken, "calls", unscored="zero"):
        assert point.value.mean == pytest.approx(
            mean(published[point.series.name], "sub_llm_call_count"), rel=1e-9
        )


def test_efficiency_with_refusals_as_zero(taken, published):
    def per_token(rows):
        return mean(rows, "judge_reward") / mean(rows, "prompt_tokens", "completion_tokens")

    for point in points(taken, "efficiency", unscored="zero"):
        expected = per_token(published[point.series.name]) / per_token(published["LLM"])
        assert point.value.mean == pytest.approx(expected, rel=1e-9)


def test_pairing_says_what_the_bars_hide(taken):
    zero = {each.name: each for each in aggregates.summary(taken, unscored=Unscored.ZERO).comparisons}
    rlm, tips = zero["RLM"].paired, zero["RLM+tips"].paired
    assert (rlm.better, rlm.worse, rlm.n, round(rlm.p, 3)) == (7, 1, 50, 0.070)
    assert (tips.better, tips.worse, tips.n, round(tips.p, 3)) == (4, 0, 50, 0.125)
    read = {each.name: each for each in aggregates.summary(taken).comparisons}["RLM"]
    assert (read.paired.n, read.paired.mean_difference) == (23, 0.0)
    assert read.otherwise.better == 7
