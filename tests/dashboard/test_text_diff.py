"""A diff keeps every character of both texts and is fast."""

import random

import pytest

from dashboard.text_diff import Kind, Piece, diff, shortened

WORDS = random.Random(5)
SOUP = [" ".join(WORDS.choice("abcdefgh") * 3 for _ in range(900)) for _ in range(2)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("", "new"),
        ("the quick brown fox", "the slow brown fox jumps"),
        ("one\ntwo\nthree\n", "one\n2\nthree"),
        ("<del>&amp;</del>\x00\u202e", "<ins>\ud800</ins>"),
        (SOUP[0], SOUP[1]),
        ("x" * 50_000, "x" * 49_999 + "y"),
        ("\n".join(SOUP[0].split()) * 4, "\n".join(SOUP[1].split()) * 4),
    ],
)
def test_both_texts_come_back(old, new):
    pieces = diff(old, new)
    assert "".join(piece.text for piece in pieces if piece.kind is not Kind.NEW) == old
    assert "".join(piece.text for piece in pieces if piece.kind is not Kind.GONE) == new


def test_only_the_words_that_differ_are_marked():
    assert diff("You have 120 s per cell.", "You have 300 s per cell.") == (
        Piece(Kind.SAME, "You have "),
        Piece(Kind.GONE, "120"),
        Piece(Kind.NEW, "300"),
        Piece(Kind.SAME, " s per cell."),
    )


def test_a_space_is_no_common_thing():
    assert diff("say one two now", "say three four now") == (
        Piece(Kind.SAME, "say "),
        Piece(Kind.GONE, "one two"),
        Piece(Kind.NEW, "three four"),
        Piece(Kind.SAME, " now"),
    )


def test_what_is_the_same_for_long_is_left_out_and_said():
    long = "same " * 500
    pieces = list(shortened(diff(f"{long}old {long}", f"{long}new {long}"), in_words=lambda chars: f"[{chars}]"))
    assert [piece.kind for piece in pieces] == [
        *(Kind.SKIPPED, Kind.SAME, Kind.GONE, Kind.NEW, Kind.SAME, Kind.SKIPPED),
    ]
    left_out = sum(int(piece.text.strip("[]")) for piece in pieces if piece.kind is Kind.SKIPPED)
    shown = sum(len(piece.text) for piece in pieces if piece.kind is Kind.SAME)
    assert left_out + shown == len(f"{long} {long}")
