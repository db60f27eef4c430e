"""The rules of scoring, by answer type."""

import pytest

from rlm_runs.engine.environments.oolong_scoring import contains_answer, exact_match, final_answer, official_score


@pytest.mark.parametrize(
    ("answer", "bare"),
    [
        ("42", "42"),
        ("Answer: 42", "42"),
        ("I counted.\n\n**Answer:** 42.", "42"),
        ("Answer: 1\nAnswer: 2", "2"),
        ("so \\boxed{\\text{refund}}", "refund"),
        ("\\boxed{Answer: refund}", "refund"),
        ("Label: 'refund'", "refund"),
        ("Answer: Label: refund", "refund"),
        ("User: [12345]", "12345"),
        ("answer: Mar 04, 2024", "Mar 04, 2024"),
        ("Answer: -3", "-3"),
        ("", ""),
    ],
)
def test_the_final_answer_is_found(answer, bare):
    assert final_answer(answer) == bare


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Answer: 10", 1),
        ("Answer: 11", 0.75),
        ("Answer: 8", 0.75**2),
        ("of the 40 messages, 9", 0.75),
        ("Answer: 1,010", 0),
        ("Answer: 10.0", 1),
        ("many", 0),
        ("9" * 4000, 0),
    ],
)
def test_numbers_lose_a_quarter_per_unit_of_error(answer, score):
    assert official_score(answer, gold="10", answer_type="number") == pytest.approx(score)


@pytest.mark.parametrize(
    "said", ["Mar 04, 2024", "March 4, 2024", "2024-03-04", "4 March 2024", "03/04/2024", "March 4th, 2024"]
)
def test_dates_are_parsed(said):
    assert official_score(f"Answer: {said}", gold="Mar 04, 2024", answer_type="date") == 1


@pytest.mark.parametrize("said", ["Mar 05, 2024", "soon", "", "Feb 30, 2024"])
def test_other_dates_score_nothing(said):
    assert official_score(said, gold="Mar 04, 2024", answer_type="date") == 0


def test_months():
    assert official_score("Answer: March 2024", gold="Mar 2024", answer_type="month") == 1
    assert official_score("Answer: April 2024", gold="Mar 2024", answer_type="month") == 0


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Answer: more common than", 1),
        ("'refund' is more common than 'fault'", 1),
        ("Answer: less common than", 0),
        ("more common than, or less common than", 0),
        ("Answer: same frequency as", 0),
        ("I cannot say", 0),
    ],
)
def test_comparisons_are_matched_by_their_phrase(answer, score):
    assert official_score(answer, gold="more common than", answer_type="comparison") == score


def test_lists_earn_the_share_of_the_gold_items_named():
    assert official_score("Answer: a, C", gold="a, b, c, d", answer_type="list") == 0.5
    assert official_score("['a', 'b']", gold="a, b", answer_type="list") == 1


def test_users_and_labels():
    assert official_score("Answer: user 48213", gold="48213", answer_type="user") == 1
    assert official_score("Answer: 4821", gold="48213", answer_type="user") == 0
    assert official_score("Answer: Refund", gold="refund", answer_type="label") == 1
    assert official_score("Answer: refund or fault", gold="refund", answer_type="label") == 0


def test_exact_match_and_contains_answer():
    assert exact_match("Answer: 10", gold="10")
    assert not exact_match("Answer: 10 messages", gold="10")
    assert contains_answer("there are 10 messages", gold="10")
    assert not contains_answer("there are 100 messages", gold="10")
