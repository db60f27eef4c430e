"""The judge: a model that decides whether an answer is right. Its calls are stored, and metered separately."""

from __future__ import annotations

import re
from pathlib import Path

from .conversation import Conversation
from .errors import RolloutFailure
from .events import Message
from .rollout_context import RolloutContext

SYSTEM_PROMPT = (Path(__file__).parent / "judge_system.txt").read_text().strip()
_AGAIN = "Answer with one word: yes or no."
_VERDICT = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


class NoVerdict(RolloutFailure):
    """The judge answered neither yes nor no, twice. The answer has no reward, which is not a reward of 0."""

    boundary = "scoring"
    stop_reason = "unjudged"


def verdict_on(prompt: str, *, run: RolloutContext) -> bool:
    """Returns whether the judge says yes. A judge that says neither yes nor no is asked once more.

    Raises NoVerdict after the second try, and ModelFailure if the judge cannot be reached.
    """
    conversation = Conversation(
        run, kind="judge", opening=[Message("system", SYSTEM_PROMPT), Message("user", prompt)]
    )
    try:
        said = conversation.call(reply=lambda completion: "" if _verdict(completion.content) else _AGAIN)
        if _verdict(said.content) is None:
            said = conversation.call()
    except RolloutFailure as failure:
        conversation.end(stop_reason=failure.stop_reason, error=str(failure))
        raise
    verdict = _verdict(said.content)
    conversation.end(stop_reason="final_message" if verdict else "unjudged", answer=verdict or "")
    if verdict is None:
        raise NoVerdict(f"the judge said neither yes nor no, but: {said.content[:500]!r}")
    return verdict == "yes"


def _verdict(text: str) -> str | None:
    """Returns `yes` or `no`: the first word, or that of the last line, because judges that think aloud end with
    it.
    """
    for part in (text.strip(), text.strip().rpartition("\n")[2]):
        if found := _VERDICT.match(part):
            return found[1].lower()
    return None
