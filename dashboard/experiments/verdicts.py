"""The sentences of the experiment page. They claim no more than the tests allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rlm_runs.analysis.aggregates import ArmSummary, Comparison, Summary, Unscored
from rlm_runs.analysis.statistics import Paired
from rlm_runs.engine.scaffolds import registry
from rlm_runs.models import ArmDecision

from ..charts.forest import Estimate, Scale
from ..early_stopping import difference
from ..formatting import plural, probability

_CLEAR = 0.05
_NAMED = 4
_SEEN = 0.02
"""A difference that changes by less than this counts as unchanged."""


@dataclass(frozen=True)
class Verdict:
    """One arm against its baseline: `relation` stands between their names, `evidence` after them.

    `otherwise` is the result under the other treatment of unscored rollouts, `price` has the arm's price ratios.
    `is_apart` says that no example has a reward in both under either treatment. `estimate` is the difference for
    the forest plot; `difference`, `p` and `prices` are its numbers for the table.
    """

    arm: ArmSummary
    baseline: ArmSummary
    name: str
    baseline_name: str
    relation: str
    is_clear: bool
    is_apart: bool
    evidence: str
    otherwise: str
    price: str
    paired: Paired | None
    estimate: Estimate | None
    difference: str
    p: str
    prices: tuple[str, ...]


@dataclass(frozen=True)
class GroupVerdicts:
    """The verdicts on one environment with its settings. Comparisons without common examples are `apart`, and
    `why` gives the reason.
    """

    group: str
    verdicts: tuple[Verdict, ...]
    apart: tuple[Verdict, ...] = ()
    why: str = ""


def verdicts(summary: Summary) -> tuple[GroupVerdicts, ...]:
    """Returns all comparisons of an experiment, by environment."""
    order = {arm.pk: position for position, arm in enumerate(summary.arms)}
    comparisons = sorted(summary.comparisons, key=lambda found: (found.group, order[found.arm.pk]))
    groups = [
        _of_group(group, [_verdict(each, summary) for each in found], summary)
        for group, found in groupby(comparisons, key=lambda comparison: comparison.group)
    ]
    first = {each.group: order[each.arm.pk] for each in reversed(comparisons)}
    return tuple(sorted(groups, key=lambda found: first[found.group]))


def _of_group(group: str, verdicts: Sequence[Verdict], summary: Summary) -> GroupVerdicts:
    told, apart = (tuple(each for each in verdicts if each.is_apart == is_apart) for is_apart in (False, True))
    arms = [arm for each in apart for arm in (each.arm, each.baseline)]
    return GroupVerdicts(group=group, verdicts=told, apart=apart, why=_no_pair(summary, arms))


def headline(summary: Summary) -> str:
    """Returns a sentence on how many comparisons are significant; "" without comparisons."""
    if all(arm.reward is None for arm in summary.arms):
        has_rewards = any(arm.scored for arm in summary.arms)
        return f"{_no_pair(summary, summary.arms).capitalize()}." if has_rewards else _no_reward(summary)
    made = [each for each in summary.comparisons if each.paired is not None]
    if not made:
        return ""
    clear = [each for each in made if _is_clear(each)]
    are_llms = all(
        registry.is_baseline(each.baseline.scaffold) and not registry.is_baseline(each.arm.scaffold)
        for each in made
    )
    baseline = "the LLM" if are_llms else "the first arm of its environment"
    ahead, behind = count_clear(made)
    told = [
        f"{number} {'is' if number == 1 else 'are'} {word} {baseline}"
        for number, word in ((ahead, "ahead of"), (behind, "behind"))
        if number
    ]
    found = " and ".join(told) if told else f"none tells an arm from {baseline}"
    beyond = "beyond chance (p < 0.05, corrected for all of them by Holm)"
    return " ".join([f"Of {plural(len(made), 'comparison')}, {found} {beyond}.", *_named(clear)])


def count_clear(comparisons: Iterable[Comparison]) -> tuple[int, int]:
    """Returns the numbers of arms that are ahead of, and behind, their baseline with a clear difference."""
    clear = [each for each in comparisons if _is_clear(each)]
    ahead = sum(map(_is_ahead, clear))
    return ahead, len(clear) - ahead


def _named(clear: Sequence[Comparison]) -> Iterator[str]:
    """Yields the first arms that are ahead or behind, with their environments."""
    for word, is_ahead in (("Ahead", True), ("Behind", False)):
        found = [each for each in clear if _is_ahead(each) == is_ahead]
        if found:
            places = [f"{each.name} on {each.group}" for each in found[:_NAMED]]
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            yield f"{word}: {'; '.join(places)}{more}."


def _no_reward(summary: Summary) -> str:
    """Returns why there is nothing to compare."""
    kinds = {"too_long": "too long", "unjudged": "unjudged", "failed": "failed", "cancelled": "cancelled"}
    counts = {name: sum(getattr(arm.left_out, name) for arm in summary.arms) for name in (*kinds, "unfinished")}
    told = [f"{counts[name]:,} {word}" for name, word in kinds.items() if counts[name]]
    told += [f"{counts['unfinished']:,} to go"] if counts["unfinished"] else []
    if not told:
        return ""
    return f"No rollout has a reward{' yet' if counts['unfinished'] else ''}: {', '.join(told)}."


def _verdict(comparison: Comparison, summary: Summary) -> Verdict:
    made = sum(each.paired is not None for each in summary.comparisons)
    return Verdict(
        arm=comparison.arm,
        baseline=comparison.baseline,
        name=comparison.name,
        baseline_name=comparison.baseline_name,
        relation=_relation(comparison),
        is_clear=_is_clear(comparison),
        is_apart=comparison.paired is None and comparison.otherwise is None,
        evidence="; ".join(_evidence(comparison, summary, made=made)),
        otherwise=_otherwise(comparison, summary.unscored),
        price=_price(comparison),
        paired=comparison.paired,
        estimate=_estimate(comparison),
        difference=_difference_text(comparison),
        p="" if comparison.p is None else probability(comparison.p).removeprefix("p = ").removeprefix("p "),
        prices=tuple(_times(comparison.prices[name]) if name in comparison.prices else "" for name, _ in _PRICES),
    )


def _estimate(comparison: Comparison) -> Estimate | None:
    """Returns the difference to draw; for an arm that ended early, that of its confidence sequence."""
    decision = comparison.decision
    if decision is None:
        return Estimate.of(comparison.paired, p=comparison.p)
    if decision.estimate is None or decision.low is None or decision.high is None:
        return None
    return Estimate(decision.estimate, decision.low, decision.high, is_clear=_is_clear(comparison))


def _difference_text(comparison: Comparison) -> str:
    estimate = _estimate(comparison)
    if estimate is None:
        return ""
    if comparison.decision is None and comparison.paired is not None:
        return _difference(comparison.paired)
    return difference(estimate.mean, estimate.low, estimate.high)


def forest_scale(groups: Iterable[GroupVerdicts]) -> Scale:
    """Returns the axis that all verdicts share."""
    return Scale.of(verdict.estimate for group in groups for verdict in group.verdicts)


def _relation(comparison: Comparison) -> str:
    paired = comparison.paired
    if comparison.decision is not None and comparison.p is None:
        return "has no valid comparison with"
    if paired is None or comparison.p is None:
        return "cannot be compared with"
    if comparison.decision is not None and comparison.decision.reason == "equivalent":
        return "does not differ by more than the margin from"
    if not _is_clear(comparison):
        return "is not clearly different from"
    return "beats" if _is_ahead(comparison) else "falls behind"


def _is_clear(comparison: Comparison) -> bool:
    return comparison.paired is not None and comparison.p is not None and comparison.p < _CLEAR


def _is_ahead(comparison: Comparison) -> bool:
    """Returns whether the arm is ahead, by the test's difference if the arm ended early."""
    decision, paired = comparison.decision, comparison.paired
    if decision is not None and decision.estimate is not None and decision.low is not None:
        return decision.estimate > 0
    return paired is not None and paired.mean_difference > 0


def _no_pair(summary: Summary, arms: Iterable[ArmSummary]) -> str:
    """Returns why arms cannot be compared. With common examples only, any arm may have removed theirs."""
    is_common = summary.unscored is Unscored.COMMON
    lack = "there is no example that all arms finished" if is_common else "no example has a reward in both"
    is_open = any(arm.left_out.unfinished for arm in (summary.arms if is_common else arms))
    return f"{lack}{' yet' if is_open else ''}"


def _evidence(comparison: Comparison, summary: Summary, *, made: int) -> Iterator[str]:
    arm, baseline, paired = comparison.arm.reward, comparison.baseline.reward, comparison.paired
    if arm is not None and baseline is not None:
        yield f"{arm.mean:.2f} vs {baseline.mean:.2f}"
    if paired is None:
        yield _no_pair(summary, (comparison.arm, comparison.baseline))
        return
    if comparison.decision is not None:
        yield from _sequential_evidence(comparison, comparison.decision, made=made)
        return
    split = f"better on {paired.better:,} of {plural(paired.n, 'example')}, worse on {paired.worse:,}"
    yield f"{split}, Δ {_difference(paired)}"
    corrected = f", {probability(comparison.p)} after Holm" if comparison.p is not None and made > 1 else ""
    yield f"{probability(paired.p)} ({paired.test}){corrected}"
    if paired.p >= _CLEAR and paired.more_examples:
        yield f"≈ {paired.more_examples:,} more examples would show a difference of this size"


def _sequential_evidence(comparison: Comparison, decision: ArmDecision, *, made: int) -> Iterator[str]:
    """Yields the evidence for an arm that ended early, for which statistics of a fixed sample size do not hold."""
    yield "ended early, so no p for a fixed number of examples holds"
    if decision.estimate is None or decision.low is None or decision.high is None or decision.e_value is None:
        return
    found = difference(decision.estimate, decision.low, decision.high)
    yield f"Δ {found} after {plural(decision.examples, 'example')}, by a confidence sequence for all comparisons"
    corrected = f", {probability(comparison.p)} after Holm" if comparison.p is not None and made > 1 else ""
    yield f"{probability(min(1.0, 1 / decision.e_value))} (testing by betting, at any n){corrected}"


def _difference(paired: Paired) -> str:
    """Returns a difference with its interval, such as +0.12 [0.00, +0.23]."""
    found = paired.difference
    if found.low is None or found.high is None:
        return _signed(found.mean)
    return f"{_signed(found.mean)} [{_signed(found.low)}, {_signed(found.high)}]"


def _signed(number: float) -> str:
    text = f"{number:+.2f}".replace("-", "−")
    return text[1:] if text[1:] == "0.00" else text


def _otherwise(comparison: Comparison, unscored: Unscored) -> str:
    """Returns the result under the other treatment of unscored rollouts, if the two disagree."""
    found, paired = comparison.otherwise, comparison.paired
    if found is None or (paired is not None and not _disagree(paired, found)):
        return ""
    sides = ((comparison.name, comparison.arm), (comparison.baseline_name, comparison.baseline))
    counts = [
        f"{getattr(arm.left_out, name):,} of {who} {word}"
        for who, arm in sides
        for name, word in (("too_long", "too long"), ("unjudged", "unjudged"), ("failed", "failed"))
        if getattr(arm.left_out, name)
    ]
    split = f"better on {found.better:,}, worse on {found.worse:,}, Δ {_difference(found)}, {probability(found.p)}"
    if unscored is Unscored.ZERO:
        return f"On the {plural(found.n, 'example')} that both finished ({', '.join(counts)}): {split}."
    return f"With {', '.join(counts)} counted as zero, on {plural(found.n, 'example')}: {split}."


def _disagree(one: Paired, other: Paired) -> bool:
    """Returns whether two treatments disagree by more than rounding."""
    moves = abs(one.mean_difference - other.mean_difference) >= _SEEN
    return moves or (one.p < _CLEAR) != (other.p < _CLEAR)


_PRICES = (("tokens", "tokens"), ("cost", "dollars"), ("seconds", "time"))


def _price(comparison: Comparison) -> str:
    """Returns the arm's prices as multiples of the baseline's on the same examples."""
    told = [f"{_times(comparison.prices[name])} the {word}" for name, word in _PRICES if name in comparison.prices]
    return f"at {', '.join(told)}" if told else ""


def _times(ratio: float) -> str:
    return f"{ratio:.0f} ×" if ratio >= 9.95 else f"{ratio:.1f} ×" if ratio >= 0.095 else f"{ratio:.2g} ×"
