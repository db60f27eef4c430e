"""Search hits for display: a line that names the place, links to it, and marks the words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.urls import reverse

from rlm_runs.analysis import search
from rlm_runs.analysis.search import Hit, Matches

from ..formatting import visible

_ESCAPES = re.compile(r'\\(["\\/nrt])')
_SPACE = re.compile(r"\s+")
_PLACES = {
    "example_prompt": "prompt of the example",
    "example_input_data": "input data",
    "example_answer": "gold answer",
    "opening": "prompt",
    "turn_content": "said",
    "turn_reasoning": "reasoning",
    "turn_reply": "reply of the host",
    "execution_arguments": "In",
    "execution_output": "Out",
    "execution_shown": "Out",
    "execution_out": "Out",
    "execution_answer": "answer",
    "trajectory_answer": "returned to the REPL",
    "rollout_answer": "answer given",
    "error": "error",
}
_TEXTS = {
    "example_prompt": ("example", "prompt"),
    "example_input_data": ("example", "input"),
    "example_answer": ("example", "answer"),
    "rollout_answer": ("rollout", "answer"),
}


@dataclass(frozen=True)
class Found:
    """One place. `pieces` are the text around it, each with a flag for the searched words."""

    where: str
    address: str
    pieces: tuple[tuple[str, bool], ...]


def places(phrases: Iterable[Matches], rollouts: Sequence[int]) -> dict[int, list[Found]]:
    """Returns a map of rollout → the first places of each phrase in it. Two queries per phrase."""
    found: dict[int, list[Found]] = defaultdict(list)
    for phrase in phrases:
        for hit in search.hits(phrase, rollouts):
            found[hit.rollout].append(Found(_where(hit), _address(hit), tuple(_pieces(hit))))
    return dict(found)


def _where(hit: Hit) -> str:
    place = _PLACES[hit.source]
    if hit.source.startswith("execution_"):
        name = f"{place}[{hit.cell}]" if hit.cell and place != "answer" else place
        place = name if hit.cell or place == "answer" else "tool call" if place == "In" else "tool's answer"
    if hit.source == "trajectory_answer" and hit.kind == "root":
        return _PLACES["rollout_answer"]
    if hit.source == "opening" and hit.kind != "root":
        return {"sub": "sub-LLM prompt", "judge": "judge's prompt"}.get(hit.kind, place)
    turn = f"turn {hit.turn} · " if hit.turn else ""
    whose = {"sub": "sub-LLM · ", "judge": "judge · "}.get(hit.kind, "")
    return f"{whose}{turn}{place}"


def _address(hit: Hit) -> str:
    """Returns the URL of the place in the replay; of the full text, if the replay truncates it."""
    if hit.source in _TEXTS:
        owner, part = _TEXTS[hit.source]
        return reverse("text", args=[hit.rollout, owner, hit.rollout, part])
    if hit.trajectory is not None and hit.kind != "root":
        anchor = f"#call-{hit.trajectory}-turn-{hit.turn}" if hit.turn else ""
        return reverse("call", args=[hit.rollout, hit.trajectory]) + anchor
    anchor = f"#turn-{hit.turn}" if hit.turn else ""
    attempt = "" if hit.is_of_last_attempt else f"?attempt={hit.attempt}"
    return f"{reverse('rollout', args=[hit.rollout])}{attempt}{anchor}"


def _pieces(hit: Hit) -> Iterator[tuple[str, bool]]:
    """Yields the snippet on one line, split at the edges of the words."""
    said = hit.snippet
    if hit.source == "execution_arguments":
        said = _ESCAPES.sub(lambda found: " " if found[1] in "nrt" else found[1], said)
    said = visible(_SPACE.sub(" ", said))
    at = 0
    for word in re.finditer(hit.marks, said, re.IGNORECASE):
        yield said[at : word.start()], False
        yield word[0], True
        at = word.end()
    yield said[at:], False
