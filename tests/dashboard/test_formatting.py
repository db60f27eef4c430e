"""Formatting of numbers and hostile text."""

from decimal import Decimal

import pytest

from dashboard import formatting
from dashboard.replay.highlight import pieces
from rlm_runs.analysis.statistics import Interval

from ..factories.traces import HOSTILE


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (950, "950"),
        (9999, "9,999"),
        (75_454, "75.5k"),
        (999_949, "999.9k"),
        (1_240_000, "1.24M"),
        (None, "–"),
    ],
)
def test_counts(number, text):
    assert formatting.count(number) == text


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, "unpriced"),
        (Decimal(0), "$0"),
        (Decimal("0.0132"), "$0.0132"),
        (Decimal("0.00001234"), "$0.0000123"),
        (Decimal("31.2"), "$31.20"),
    ],
)
def test_dollars(cost, text):
    assert formatting.dollars(cost) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0042, "4 ms"), (0.421, "0.42 s"), (4.2, "4.2 s"), (42, "42 s"), (134, "2 m 14 s"), (3725, "1 h 02 m")],
)
def test_durations(seconds, text):
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(1, "1 retry"), (2, "2 retries"), (38, "38 retries")])
def test_plurals(number, text):
    assert formatting.plural(number, "retry") == text


def test_nothing_stays_hidden_and_everything_encodes():
    shown = formatting.visible(HOSTILE)
    assert "␀" in shown
    assert "⟨U+D800⟩" in shown
    assert "⟨U+202E⟩" in shown
    assert "␛" in shown
    shown.encode()
    assert formatting.visible("tab\tand\r\nline") == "tab\tand\nline"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "x = 1",
        "def f(:\n  'open",
        "for x in '''y",
        "\x0cx = 1\r\ny",
        HOSTILE,
        "é = 'ü'  # ö\nprint(é)",
        "if 1:\n\tx\n  y",
    ],
)
def test_highlighting_loses_no_character(source):
    assert "".join(text for _, text in pieces(source)) == source


def test_highlighting_names_what_matters():
    found = {text: kind for kind, text in pieces("for x in llm_batch('a'):  # why\n    pass")}
    assert (found["for"], found["llm_batch"], found["'a'"], found["# why"]) == ("k", "r", "s", "c")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        *((0.0, "0"), (0.14, "+0.14"), (-0.5, "−0.50"), (0.0012, "+0.0012"), (-0.00001, "−1e−05")),
        *((42.16, "+42.2"), (-2310.0, "−2,310"), (75_500.0, "+75.5k")),
    ],
)
def test_differences_have_a_sign(number, expected):
    assert formatting.signed(number) == expected


def test_measures_are_said_in_their_unit():
    assert formatting.measured(0.0132, "$") == "$0.0132"
    assert formatting.measured(0.144, "", is_score=True) == "0.14"
    assert formatting.measured(75_454.3, "tokens") == "75.5k"
    assert formatting.measured(42.16, "s") == "42.2"


@pytest.mark.parametrize(
    ("low", "mean", "high", "text"),
    [
        (0.45, 0.5, 0.56, "± 0.06"),
        (0.01, 0.04, 0.21, "[0.01, 0.21]"),
        (0.49, 1.0, 1.0, "[0.49, 1.00]"),
        (None, 1.0, None, ""),
        (0.5, 1.0, None, ""),
    ],
)
def test_a_lopsided_interval_is_told_by_its_limits(low, mean, high, text):
    assert formatting.spread(Interval(mean, 9, low, high, "Wilson"), "{:.2f}".format) == text


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((0.0434783, 0.00771723, 0.209887), ["0.043", "0.008", "0.210"]),
        ((2563.5, 0.0004063, 10_318.2), ["2,564", "0", "10,318"]),
        ((0.01324, 0.0121, None), ["0.0132", "0.0121", "–"]),
        ((-0.1, -0.25, 12.5), ["−0.10", "−0.25", "12.50"]),
        ((0.0, None, None), ["0", "–", "–"]),
    ],
)
def test_numbers_side_by_side_have_the_same_decimals(numbers, texts):
    assert formatting.alike(numbers) == texts
