"""Reasoning between tags in the content is told from the answer."""

from __future__ import annotations

import pytest

from rlm_runs.engine.clients.thinking import split_thinking

QUOTED = "Write `</think>` to close the block. The answer is 4."
FENCED = "```\nfoo</think>\n```\n4"


@pytest.mark.parametrize(
    ("content", "answer", "thought"),
    [
        ("<think>2 + 2</think>4", "4", "2 + 2"),
        ("\n<think>\n2 + 2\n</think>\n\n4", "4", "2 + 2"),
        ("<THINK>2 + 2</THINK>4", "4", "2 + 2"),
        ("<thinking>a</thinking>4", "4", "a"),
        ("[THINK]a[/THINK]4", "4", "a"),
        ("◁think▷a◁/think▷4", "4", "a"),
        ("<seed:think>a</seed:think>4", "4", "a"),
        ("<think></think>4", "4", ""),
        ("<think>a</think><think>b</think>4", "4", "a\n\nb"),
        ("<think>cut off by a limit", "", "cut off by a limit"),
        ("2 + 2 is\n</think>\n\n4", "4", "2 + 2 is"),
        ("2 + 2 is</think>4", "4", "2 + 2 is"),
        ("</think>\n\n4", "4", ""),
        (
            "<|channel|>analysis<|message|>2 + 2<|end|><|start|>assistant<|channel|>final<|message|>4",
            "4",
            "2 + 2",
        ),
        ("<think>\\boxed{5} no</think>\\boxed{4}", "\\boxed{4}", "\\boxed{5} no"),
    ],
)
def test_reasoning_at_the_start_is_split_off(content, answer, thought):
    assert split_thinking(content, tags="auto") == (answer, thought)
    assert split_thinking(content, tags="on")[0] == answer


@pytest.mark.parametrize(
    "content",
    ["4", "", "The tag <think> opens reasoning.", "4 <think>sure?</think>", QUOTED, FENCED, 'say "</think>" here'],
)
def test_auto_leaves_other_content_as_it_is(content):
    assert split_thinking(content, tags="auto") == (content, "")


def test_on_takes_blocks_anywhere():
    assert split_thinking("4 <think>sure?</think> yes", tags="on") == ("4  yes", "sure?")


def test_off_takes_none():
    assert split_thinking("<think>a</think>4", tags="off") == ("<think>a</think>4", "")
