"""Parsing filters: positions, quoting, numbers, and bad input."""

import random
from decimal import Decimal

import pytest

from rlm_runs.analysis.filters.language import (
    MOST_CHARS,
    FilterError,
    Number,
    Term,
    Value,
    parse,
    term,
    text,
)


def terms(source):
    return parse(source).terms


def test_terms_know_their_key_their_values_and_their_place():
    source = '  env:oolong,"deep dive"  -reward:<1 llm_batch'
    first, second, third = terms(source)
    assert (first.key, [value.text for value in first.values]) == ("env", ["oolong", "deep dive"])
    assert [source[value.start : value.end] for value in first.values] == ["oolong", '"deep dive"']
    assert (second.key, second.is_negated, second.values[0].number) == ("reward", True, Number(below=Decimal(1)))
    assert source[second.key_start : second.key_end] == "reward"
    assert (third.key, third.values[0].text) == ("", "llm_batch")
    places = [source[found.start : found.end] for found in (first, second, third)]
    assert places == ['env:oolong,"deep dive"', "-reward:<1", "llm_batch"]


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("3", Number(least=Decimal(3), most=Decimal(3))),
        ("-0.5", Number(least=Decimal("-0.5"), most=Decimal("-0.5"))),
        ("<1", Number(below=Decimal(1))),
        ("<=1", Number(most=Decimal(1))),
        (">1e3", Number(above=Decimal(1000))),
        (">=75.5k", Number(least=Decimal(75500))),
        ("1..2M", Number(least=Decimal(1), most=Decimal(2_000_000))),
        ("..5", Number(most=Decimal(5))),
        ("5..", Number(least=Decimal(5))),
        ("..", None),
        ("1e999", None),
        ("<", None),
        ("<x", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("1..x", None),
    ],
)
def test_numbers(said, number):
    assert terms(f"reward:{said}")[0].values[0].number == number


def test_a_quoted_number_is_a_name():
    value = terms('meta.year:"2024"')[0].values[0]
    assert (value.text, value.number) == ("2024", None)


@pytest.mark.parametrize(
    ("source", "start", "end", "words"),
    [
        ("env:", 0, 4, "needs a value"),
        ("x env: y", 2, 6, "needs a value"),
        ('model:"gpt', 6, 10, "not closed"),
        ('ab "cd', 3, 6, "not closed"),
        ("env:a,", 5, 6, "behind this comma"),
        ("env:a, b", 5, 6, "behind this comma"),
        ("env:,a", 4, 5, "before this comma"),
        ('env:"a"b', 7, 8, "space is missing"),
        ('""', 0, 2, "nothing in these quotes"),
        ('-"  "', 0, 5, "nothing in these quotes"),
        ("x" * (MOST_CHARS + 1), MOST_CHARS, MOST_CHARS + 1, "at most"),
    ],
)
def test_errors_point_at_the_word(source, start, end, words):
    with pytest.raises(FilterError, match=words) as caught:
        parse(source)
    assert (caught.value.start, caught.value.end) == (start, end)


def test_a_rollouts_number_is_short_for_its_id():
    assert [(found.key, found.values[0].text) for found in terms("#17 -#18")] == [("id", "17"), ("id", "18")]
    assert [found.key for found in terms("#tag #1x")] == ["", ""]


def test_a_minus_alone_and_an_empty_query():
    assert terms("") == terms(" \t\n ") == ()
    assert terms("-")[0].values[0].text == "-"
    assert terms("- a")[0].values[0].text == "-"


def test_own_keys_may_be_quoted():
    found = terms('meta."a b:c":1')[0]
    assert found.key == "meta.a b:c"


def same(one, other):
    return (one.key, one.is_negated, [(value.text, value.number) for value in one.values]) == (
        other.key,
        other.is_negated,
        [(value.text, value.number) for value in other.values],
    )


NASTY = [
    "a b",
    'say "x"',
    "back\\slash",
    "none",
    "3",
    "<1",
    "1..2",
    "-x",
    "a,b",
    "é–☃",
    "*",
    "x:y",
    "#1",
    "",
    "\x00",
]


@pytest.mark.parametrize("said", NASTY)
def test_what_is_built_is_read_back(said):
    built = [term("env", said), term("meta.a b", said, "other", is_negated=True)]
    built += [term("", said)] if said.strip() else []
    read = terms(text(built))
    assert all(map(same, built, read)), text(built)
    assert [value.pattern for found in read if found.key for value in found.values] == [None, None, None]


def test_numbers_are_written_as_they_were_meant():
    limits = [
        Number(least=Decimal(1), most=Decimal(1)),
        Number(least=Decimal("0.25"), most=Decimal(2)),
        Number(above=Decimal("1e-7")),
        Number(below=Decimal(75500)),
        Number(least=Decimal(0)),
        Number(most=Decimal("-3.50")),
    ]
    built = [term("reward", limit) for limit in limits]
    assert [found.values[0].number for found in terms(text(built))] == limits
    assert text([term("turns", 3), term("cost", 0.5)]) == "turns:3 cost:0.5"


def test_any_text_is_read_or_refused_with_a_place_in_it():
    dice = random.Random(7)
    letters = 'ab:"\\-,.<>=#* \t\n0123kM\x00é\u202e'
    read = 0
    places = []
    for _ in range(4_000):
        source = "".join(dice.choice(letters) for _ in range(dice.randrange(24)))
        try:
            found = parse(source)
        except FilterError as error:
            places.append((error.start, error.end, len(source)))
            continue
        read += 1
        ends = [0]
        for one in found.terms:
            assert ends[-1] <= one.start < one.end <= len(source)
            ends.append(one.end)
            assert all(one.start <= value.start < value.end <= one.end for value in one.values), source
        again = parse(text(found.terms)).terms
        assert len(again) == len(found.terms)
        assert all(map(same, found.terms, again)), (source, text(found.terms))
    assert read > 500
    assert len(places) > 500
    assert all(0 <= start <= end <= length for start, end, length in places)


def test_words_are_those_that_must_be_there():
    assert parse('a -b env:x "c d"').words == ("a", "c d")
    assert isinstance(terms("a")[0], Term)
    assert isinstance(terms("a")[0].values[0], Value)
