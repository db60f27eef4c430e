"""What the numbers say, in words: never more than the test allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rlm_runs.aggregates import ArmSummary, Comparison, Summary
from rlm_runs.transcripts import Excerpt, code_of

from .formatting import plural, probability

_CLEAR = 0.05


@dataclass(frozen=True)
class Verdict:
    """One arm against the LLM: `relation` stands between their names, `evidence` after them."""

    arm: ArmSummary
    baseline: ArmSummary
    relation: str
    is_clear: bool
    evidence: str


@dataclass(frozen=True)
class GroupVerdicts:
    """The verdicts on one environment with its settings."""

    group: str
    verdicts: tuple[Verdict, ...]


def verdicts(summary: Summary) -> tuple[GroupVerdicts, ...]:
    """All comparisons of an experiment, by environment."""
    order = {arm.pk: position for position, arm in enumerate(summary.arms)}
    comparisons = sorted(summary.comparisons, key=lambda found: (found.group, order[found.arm.pk]))
    groups = [
        GroupVerdicts(group=group, verdicts=tuple(map(_verdict, found)))
        for group, found in groupby(comparisons, key=lambda comparison: comparison.group)
    ]
    first = {arm.group: order[arm.pk] for arm in reversed(summary.arms)}
    return tuple(sorted(groups, key=lambda found: first[found.group]))


def _verdict(comparison: Comparison) -> Verdict:
    return Verdict(
        arm=comparison.arm,
        baseline=comparison.baseline,
        relation=_relation(comparison),
        is_clear=comparison.paired is not None and comparison.paired.p < _CLEAR,
        evidence="; ".join(_evidence(comparison)),
    )


def agreement(given: Excerpt, gold: Excerpt) -> str:
    """How the answer given stands to the gold answer, to the character; "" where a part of either is not here."""
    if given.text == gold.text and not given.is_cut and not gold.is_cut:
        return "the same as the gold answer"
    pairs = enumerate(zip(given.text, gold.text, strict=False), start=1)
    place = next((at for at, (one, other) in pairs if one != other), min(len(given.text), len(gold.text)) + 1)
    if place > min(len(given.text), len(gold.text)) and (given.is_cut or gold.is_cut):
        return ""
    return f"first differs from the gold answer at character {place:,}"


def prompt_in_words(messages: Sequence[Mapping[str, Any]]) -> str:
    """The messages of a prompt one after the other, each under its number and role."""
    return "\n\n".join(
        f"━━━ {number} · {message['role']} ━━━\n" + "\n".join(_message_parts(message))
        for number, message in enumerate(messages, start=1)
    )


def _message_parts(message: Mapping[str, Any]) -> Iterator[str]:
    if message["content"]:
        yield message["content"]
    for call in message.get("tool_calls", ()):
        arguments = call["function"]["arguments"]
        code, _ = code_of(Excerpt(text=arguments, chars=len(arguments)))
        yield f"▸ {call['function']['name']} ({call['id']})\n{code.text}"


def _signed(number: float) -> str:
    return f"{number:+.2f}".replace("-", "−")


def _is_open(comparison: Comparison) -> bool:
    return bool(comparison.arm.unfinished or comparison.baseline.unfinished)


def _relation(comparison: Comparison) -> str:
    paired = comparison.paired
    if paired is None:
        return "not comparable with"
    if paired.p >= _CLEAR:
        return "not clearly different from"
    return "beats" if paired.mean_difference > 0 else "falls behind"


def _evidence(comparison: Comparison) -> Iterator[str]:
    arm, baseline, paired = comparison.arm.reward, comparison.baseline.reward, comparison.paired
    if arm is not None and baseline is not None:
        yield f"{arm.mean:.2f} vs {baseline.mean:.2f}"
    if paired is None:
        yield "no example has a reward in both yet" if _is_open(comparison) else "no example has a reward in both"
        return
    yield (
        f"paired on {plural(paired.n, 'example')}: {_signed(paired.mean_difference)}, "
        f"better on {paired.better}, worse on {paired.worse}, equal on {paired.equal}"
    )
    yield f"{probability(paired.p)}, {paired.test}"
    unpaired = max(comparison.arm.total, comparison.baseline.total)
    if comparison.baseline.too_long or comparison.arm.too_long:
        yield f"{comparison.baseline.too_long + comparison.arm.too_long} of {2 * unpaired} prompts too long"
