"""How the demo model plays: one policy per task, chosen by what the task says.

A policy is a plain function from a conversation to a reply. It keeps nothing between requests.
"""

from __future__ import annotations

from rlm_runs.demo_model.conversation import Conversation, Reply
from rlm_runs.demo_model.policies import generic, needle_in_haystack, oolong, sub_llm, verbatim_copy


def reply_to(conversation: Conversation) -> Reply:
    """The reply of the policy that knows the task, else of the generic one."""
    if "You are a sub-LLM" in conversation.system:
        return sub_llm.reply(conversation)
    question = conversation.question
    if verbatim_copy.source(question) is not None:
        return verbatim_copy.reply(conversation)
    if needle_in_haystack.wanted(question) is not None:
        return needle_in_haystack.reply(conversation)
    if oolong.asked(question) is not None:
        return oolong.reply(conversation)
    return generic.reply(conversation)
