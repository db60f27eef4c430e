"""What the numbers say, in words: never more than the test allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rlm_runs.aggregates import ArmSummary, Comparison, Summary, Unscored
from rlm_runs.statistics import Paired
from rlm_runs.transcripts import Excerpt, code_of

from .formatting import plural, probability

_CLEAR = 0.05


@dataclass(frozen=True)
class Verdict:
    """One arm against the LLM: `relation` stands between their names, `evidence` after them.

    `otherwise` says what the comparison would be with the switch the other way, `price` what the arm took more.
    """

    arm: ArmSummary
    baseline: ArmSummary
    relation: str
    is_clear: bool
    evidence: str
    otherwise: str
    price: str


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
        GroupVerdicts(group=group, verdicts=tuple(_verdict(each, summary) for each in found))
        for group, found in groupby(comparisons, key=lambda comparison: comparison.group)
    ]
    first = {arm.group: order[arm.pk] for arm in reversed(summary.arms)}
    return tuple(sorted(groups, key=lambda found: first[found.group]))


def in_short(summary: Summary) -> str:
    """How many comparisons say something beyond chance; empty where there are none."""
    made = [each for each in summary.comparisons if each.paired is not None]
    if not made:
        return ""
    clear = [each for each in made if each.p is not None and each.p < _CLEAR and each.paired]
    ahead = sum(each.paired.mean_difference > 0 for each in clear if each.paired)
    behind = len(clear) - ahead
    told = [f"{number} {word} the LLM" for number, word in ((ahead, "ahead of"), (behind, "behind")) if number]
    found = " and ".join(told) if told else "none tells a scaffold from the LLM"
    beyond = "beyond chance (p < 0.05, corrected for all of them by Holm)"
    return f"Of {plural(len(made), 'comparison')}, {found} {beyond}."


def _verdict(comparison: Comparison, summary: Summary) -> Verdict:
    made = sum(each.paired is not None for each in summary.comparisons)
    return Verdict(
        arm=comparison.arm,
        baseline=comparison.baseline,
        relation=_relation(comparison),
        is_clear=comparison.p is not None and comparison.p < _CLEAR,
        evidence="; ".join(_evidence(comparison, made=made)),
        otherwise=_otherwise(comparison, summary.unscored),
        price=_price(comparison),
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


def _relation(comparison: Comparison) -> str:
    paired = comparison.paired
    if paired is None or comparison.p is None:
        return "cannot be compared with"
    if comparison.p >= _CLEAR:
        return "is not clearly different from"
    return "beats" if paired.mean_difference > 0 else "falls behind"


def _evidence(comparison: Comparison, *, made: int) -> Iterator[str]:
    arm, baseline, paired = comparison.arm.reward, comparison.baseline.reward, comparison.paired
    if arm is not None and baseline is not None:
        yield f"{arm.mean:.2f} vs {baseline.mean:.2f}"
    if paired is None:
        is_open = comparison.arm.left_out.unfinished or comparison.baseline.left_out.unfinished
        yield f"no example has a reward in both{' yet' if is_open else ''}"
        return
    yield f"better on {paired.better} of {plural(paired.n, 'example')}, worse on {paired.worse}, Δ {_difference(paired)}"
    corrected = f", {probability(comparison.p)} after Holm" if comparison.p is not None and made > 1 else ""
    yield f"{probability(paired.p)} ({paired.test}){corrected}"
    if paired.p >= _CLEAR and paired.more_examples:
        yield f"≈ {paired.more_examples:,} more examples would show a difference of this size"


def _difference(paired: Paired) -> str:
    """+0.12 [0.00, +0.23]."""
    found = paired.difference
    if found.low is None or found.high is None:
        return _signed(found.mean)
    return f"{_signed(found.mean)} [{_signed(found.low)}, {_signed(found.high)}]"


def _signed(number: float) -> str:
    text = f"{number:+.2f}".replace("-", "−")
    return text[1:] if text[1:] == "0.00" else text


def _otherwise(comparison: Comparison, unscored: Unscored) -> str:
    """What leaving out, or counting, makes of it: where they disagree, that is the finding."""
    found = comparison.otherwise
    if found is None:
        return ""
    sides = (comparison.arm, comparison.baseline)
    counts = [
        f"{getattr(arm.left_out, name)} of {arm.series} {word}"
        for arm in sides
        for name, word in (("too_long", "too long"), ("unjudged", "unjudged"), ("failed", "failed"))
        if getattr(arm.left_out, name)
    ]
    split = f"better on {found.better}, worse on {found.worse}, Δ {_difference(found)}, {probability(found.p)}"
    if unscored is Unscored.ZERO:
        return f"On the {plural(found.n, 'example')} that both finished ({', '.join(counts)}): {split}."
    return f"With {' and '.join(counts)} counted as zero, on {plural(found.n, 'example')}: {split}."


_PRICES = (("tokens", "tokens"), ("cost", "dollars"), ("seconds", "time"))


def _price(comparison: Comparison) -> str:
    """What it took of each, as a multiple of what the LLM took on the same examples."""
    told = [f"{_times(comparison.prices[name])} the {word}" for name, word in _PRICES if name in comparison.prices]
    return f"at {', '.join(told)}" if told else ""


def _times(ratio: float) -> str:
    return f"{ratio:.0f} ×" if ratio >= 9.95 else f"{ratio:.1f} ×" if ratio >= 0.095 else f"{ratio:.2g} ×"
