"""Finding `\\boxed{}` in answers."""

import time

import pytest

from rlm_runs.engine.environments.boxed import last_boxed, unboxed


@pytest.mark.parametrize(
    ("text", "boxed"),
    [
        ("no box", None),
        ("\\boxed{7}", "7"),
        ("\\boxed{1} then \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{1} then \\boxed{2", "1"),
        ("\\boxed{}", ""),
        ("\\boxed{" * 50, None),
        ("} { \\boxed{ {1} } {", " {1} "),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{1 + \\boxed{2}}", "2"),
    ],
)
def test_the_last_box_whose_braces_match(text, boxed):
    assert last_boxed(text) == boxed


def test_unboxed_is_the_whole_text_where_nothing_is_boxed():
    assert unboxed(" 7 ") == "7"
    assert unboxed("so \\boxed{ 7 }") == "7"


def test_a_megabyte_of_opened_boxes_takes_no_time():
    began = time.monotonic()
    assert last_boxed("\\boxed{" * 150_000 + "7}") == "7"
    assert time.monotonic() - began < 5
