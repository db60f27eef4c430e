"""The policy for unknown tasks: a small attempt that states its limits."""

from __future__ import annotations

import re

from ..conversation import PYTHON_TOOL, REPL_TOOL, Conversation, Reply

UNSURE = "I am a simulated model with no rule for this kind of task, so this is a guess."
LOOK = """\
if "context" in globals():
    print(len(context), "characters of input data, which begin:")
    print(context[:500])
"""


def reply(conversation: Conversation) -> Reply:
    """Returns a look at the data and an arithmetic attempt, then the answer."""
    if conversation.is_rlm:
        return _in_repl(conversation)
    if PYTHON_TOOL in conversation.tools and not conversation.steps:
        return Reply(
            reasoning="I have no rule for this; I try the arithmetic that the numbers suggest.",
            tool=PYTHON_TOOL,
            code=_arithmetic(conversation.question),
        )
    return Reply(content=_guess(conversation), reasoning=UNSURE)


def give_up(conversation: Conversation) -> Reply:
    """Returns the end of a conversation in which consecutive cells fail."""
    if not conversation.is_rlm:
        return Reply(content=_guess(conversation), reasoning="My cells fail one after the other.")
    return Reply(
        reasoning="My cells fail one after the other, and I do not see why. I keep what answer I have.",
        content="I give up here.",
        tool=REPL_TOOL,
        code='answer["ready"] = True',
    )


def _in_repl(conversation: Conversation) -> Reply:
    if not conversation.steps:
        return Reply(
            content="First a look at what there is.",
            reasoning="I have no rule for this; I try the arithmetic that the numbers suggest.",
            tool=REPL_TOOL,
            code=LOOK + _arithmetic(conversation.question),
        )
    if not conversation.did('answer["content"]'):
        return Reply(
            content="I have no better idea than this.",
            reasoning=UNSURE,
            tool=REPL_TOOL,
            code=f'answer["content"] = {_guess(conversation)!r}\nprint(answer["content"])',
        )
    return Reply(content="I leave it at that.", tool=REPL_TOOL, code='answer["ready"] = True')


def _guess(conversation: Conversation) -> str:
    return f"{UNSURE} \\boxed{{{_last_number(conversation)}}}"


def _arithmetic(question: str) -> str:
    """Returns code that guesses a word problem: the product of its first two numbers, or the sum of all."""
    numbers = re.findall(r"(?<![\w.])\d{1,9}(?:\.\d{1,9})?(?![\w.]*\w)", question)[:6]
    if not numbers:
        return 'result = 0\nprint("There are no numbers to compute with.")\nresult'
    listed = ", ".join(str(float(n)) if "." in n else str(int(n)) for n in numbers)
    product = len(numbers) > 1 and re.search(r"\b(each|every|per|times|twice)\b", question)
    return f"numbers = [{listed}]\nresult = {'numbers[0] * numbers[1]' if product else 'sum(numbers)'}\nresult"


def _last_number(conversation: Conversation) -> str:
    """Returns the result that the last cell showed; 0 if it showed none."""
    shown = conversation.steps[-1].shown[-2000:] if conversation.steps else ""
    numbers = re.findall(r"-?\d+(?:\.\d+)?", re.sub(r"Out\[\d+\]:", "", shown))
    return numbers[-1] if numbers else "0"
