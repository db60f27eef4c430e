"""What a cell does to `answer`, read from its code."""

from __future__ import annotations

import pytest

from rlm_runs.formats.answer_writes import answer_writes


@pytest.mark.parametrize(
    ("code", "content", "ready", "is_known"),
    [
        ("x = 1", None, False, True),
        ("print(answer)\nanswer['content'][:10]\nanswer", None, False, True),
        ('answer["content"] = "a"\nanswer["content"] = "b"', "b", False, True),
        ("answer['content'] = 'a'\nanswer['ready'] = True", "a", True, True),
        ('answer["ready"] = False', None, False, True),
        ('answer["content"] = str(x)\nanswer["ready"] = True', None, True, False),
        ('answer["content"] = "a" + b', None, False, False),
        ('if good:\n    answer["content"] = "a"', None, False, False),
        ('answer = {"content": "a", "ready": True}', None, True, False),
        ('answer.update(content="a", ready=True)', None, True, False),
        ('answer["content"] += "b"', None, False, False),
        ("finish(answer)", None, False, False),
        ('a = answer\na["content"] = "x"', None, False, False),
        ('answer["content"] = "a', None, False, True),  # a syntax error: it did not run
        ("the_answer = 1", None, False, True),
    ],
)
def test_writes(code, content, ready, is_known):
    found = answer_writes(code, failed=False)
    assert (found.content, found.ready, found.is_known) == (content, ready, is_known)


def test_of_a_cell_that_failed_nobody_knows_how_far_it_came():
    found = answer_writes('answer["content"] = "a"\nanswer["ready"] = True\n1 / 0', failed=True)
    assert (found.content, found.ready, found.is_known) == (None, False, False)
    assert answer_writes("print(answer)\n1 / 0", failed=True).is_known
