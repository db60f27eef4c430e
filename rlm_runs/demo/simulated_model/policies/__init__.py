"""The policies of the simulated model, one per task, chosen by the task's text.

A policy is a plain function from a conversation to a reply. It keeps no state between requests.
"""

from __future__ import annotations

from ..conversation import Conversation, Reply
from . import (
    deepdive,
    generic,
    judge,
    math_python,
    needle_in_haystack,
    oolong,
    sub_llm,
    verbatim_copy,
)


def reply_to(conversation: Conversation) -> Reply:
    """Returns the reply of the policy that knows the task, else of the generic one."""
    if judge.is_asked(conversation):
        return judge.reply(conversation)
    if "You are a sub-LLM" in conversation.system:
        return sub_llm.reply(conversation)
    if conversation.is_stuck:
        return generic.give_up(conversation)
    question = conversation.question
    text = verbatim_copy.source(question)
    if text is not None:
        return verbatim_copy.reply(conversation, text)
    needles = needle_in_haystack.parse_question(question)
    if needles is not None:
        return needle_in_haystack.reply(conversation, needles)
    aggregate = oolong.parse_question(question)
    if aggregate is not None:
        return oolong.reply(conversation, aggregate)
    research = deepdive.parse_question(question)
    if research is not None:
        return deepdive.reply(conversation, research)
    problem = math_python.parse_question(question)
    if problem is not None:
        return math_python.reply(conversation, problem)
    return generic.reply(conversation)
