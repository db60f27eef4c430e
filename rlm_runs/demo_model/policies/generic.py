"""What the demo model does with a task that it has no policy for: a small honest try, and it says so."""

from __future__ import annotations

import re

from rlm_runs.demo_model.conversation import PYTHON_TOOL, REPL_TOOL, Conversation, Reply

UNSURE = "I am a simulated model with no rule for this kind of task, so this is a guess."


def reply(conversation: Conversation) -> Reply:
    """A look, a try at arithmetic, an answer."""
    if conversation.is_rlm:
        return _in_repl(conversation)
    if PYTHON_TOOL in conversation.tools and not conversation.steps:
        return Reply(
            reasoning="I have no rule for this; I try the arithmetic that the numbers suggest.",
            tool=PYTHON_TOOL,
            code=_arithmetic(conversation),
        )
    return Reply(content=f"{UNSURE} \\boxed{{{_last_number(conversation)}}}", reasoning=UNSURE)


def _in_repl(conversation: Conversation) -> Reply:
    steps = conversation.steps
    if not steps:
        code = 'if "context" in globals():\n    print(len(context), "characters")\n    print(context[:500])\n'
        code += _arithmetic(conversation)
        return Reply(content="First a look at what there is.", tool=REPL_TOOL, code=code)
    guess = _last_number(conversation)
    return Reply(
        content="I have no better idea.",
        reasoning=UNSURE,
        tool=REPL_TOOL,
        code=f'answer["content"] = {f"{UNSURE} Answer: {BOX}{guess}}}"!r}\nanswer["ready"] = True',
    )


BOX = "\\boxed{"


def _arithmetic(conversation: Conversation) -> str:
    """A guess at what a word problem asks: the product of its first two numbers, or their sum."""
    numbers = re.findall(r"(?<![\w.])\d{1,9}(?:\.\d{1,9})?(?![\w.]*\w)", conversation.question)[:6]
    if not numbers:
        return 'result = 0\nprint("there are no numbers to compute with")\nresult'
    operator = "*" if re.search(r"\b(each|every|per|times|twice)\b", conversation.question) else "+"
    listed = ", ".join(numbers)
    product = "result = numbers[0]\nfor number in numbers[1:2]:\n    result *= number"
    return f"numbers = [{listed}]\n" + (product if operator == "*" else "result = sum(numbers)") + "\nresult"


def _last_number(conversation: Conversation) -> str:
    """The result that the last cell showed, 0 where it showed none."""
    shown = conversation.steps[-1].shown[-2000:] if conversation.steps else ""
    numbers = re.findall(r"-?\d+(?:\.\d+)?", re.sub(r"Out\[\d+\]:", "", shown))
    return numbers[-1] if numbers else "0"
