"""The rules of the failure modes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlm_runs.analysis.failure_modes import FAILURE_MODES, Facts, failure_modes

GOOD = Facts(
    is_rlm=True,
    may_call=True,
    stop_reason="answer_ready",
    ran_to_end=True,
    reward=1.0,
    submitted=True,
    sub_calls=3,
)


@pytest.mark.parametrize(
    ("changes", "modes"),
    [
        ({}, []),
        ({"reward": 0.5}, ["wrong_answer"]),
        ({"submitted": False, "stop_reason": "no_tool_call", "reward": 0.0}, ["never_submitted"]),
        ({"submitted": False, "stop_reason": "max_turns", "reward": 0.0}, ["never_submitted", "budget"]),
        ({"submitted": None, "reward": 0.0}, ["wrong_answer"]),
        ({"submitted": False, "ran_to_end": False, "reward": None, "stop_reason": "model_error"}, []),
        ({"sub_calls": 0}, ["no_sub_call"]),
        ({"sub_calls": None}, []),
        ({"sub_calls": 0, "may_call": False}, []),
        ({"sub_calls": 0, "ran_to_end": False, "reward": None}, []),
        ({"errors": ["A: x", "A: x", "A: x"]}, ["repeated_error"]),
        ({"errors": ["A: x", "A: x", "", "A: x"]}, []),
        ({"errors": ["A: x", "A: x", "A: y"]}, []),
        ({"errors": ["", "", "", ""]}, []),
        ({"cuts": [False, True, True, True]}, ["output_cut_loop"]),
        ({"cuts": [True, True, False, True]}, []),
        ({"stop_reason": "budget_dollars", "submitted": False, "reward": 0.0}, ["never_submitted", "budget"]),
        (
            {"stop_reason": "prompt_too_long", "ran_to_end": False, "reward": None, "submitted": False},
            ["too_long"],
        ),
    ],
)
def test_modes(changes, modes):
    assert failure_modes(replace(GOOD, **changes)) == modes


def test_a_plain_model_that_ended_without_an_answer_of_its_own_did_not_fail_to_submit():
    llm = replace(GOOD, is_rlm=False, may_call=False, sub_calls=0, submitted=False, stop_reason="deadline")
    assert failure_modes(replace(llm, reward=0.0)) == ["budget"]


def test_each_mode_says_what_it_means_in_one_sentence():
    for name, mode in FAILURE_MODES.items():
        assert mode.name == name
        assert len(name) <= 30
        assert mode.title
        assert mode.explanation.endswith(".")
        assert ". " not in mode.explanation
