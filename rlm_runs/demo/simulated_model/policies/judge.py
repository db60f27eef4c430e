"""The demo model as a judge: compares the response with the ground truth, ignoring case and punctuation.

Only here does it see a ground truth, because a judge's prompt contains one.
"""

from __future__ import annotations

import re

from ..conversation import Conversation, Reply

WORDS_AROUND = 12
"""The number of words that a correct response may have beyond the ground truth."""


def is_asked(conversation: Conversation) -> bool:
    """Returns whether the conversation is a judge's."""
    return "You compare an answer with the ground truth" in conversation.system


def reply(conversation: Conversation) -> Reply:
    """Returns yes or no."""
    gold, said = _between(conversation.task)
    same = bool(gold) and _states(said, gold=gold)
    return Reply(
        content="yes" if same else "no",
        reasoning=f"The ground truth is {gold[:80]!r}, the response comes down to {said[-80:]!r}.",
    )


def _between(task: str) -> tuple[str, str]:
    """Returns the ground truth, and the final answer of the response."""
    gold = re.search(r"<ground_truth>\n(.*?)\n</ground_truth>", task, re.DOTALL)
    mark = re.search(r"hold the mark (\[\w+\])", task)
    if gold is None or mark is None:
        return "", ""
    response = task.partition(f"\n{mark[1]} response begins\n")[2].rpartition(f"\n{mark[1]} response ends")[0]
    boxed = re.findall(r"\\boxed\{([^{}]*)\}", response[-5000:])
    marked = re.findall(r"(?im)^\W*answer\W*:(.+)$", response[-5000:])
    return gold[1].strip(), (boxed or marked or [response])[-1].strip()


def _states(said: str, *, gold: str) -> bool:
    wanted, given = _plain(gold), _plain(said)
    if len(given) > len(wanted) + WORDS_AROUND:
        return False
    return f" {' '.join(wanted)} " in f" {' '.join(given)} "


def _plain(text: str) -> list[str]:
    return re.findall(r"\w+", re.sub(r"(?<=\d),(?=\d{3})", "", text.lower()))
