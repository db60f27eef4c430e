"""The numbers at the top of an experiment: at most five, each with the words that qualify it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse

from rlm_runs.analysis.aggregates import Progress, Summary

from ..formatting import dollars, duration, plural, score, whole
from .verdicts import count_clear


@dataclass(frozen=True)
class Part:
    """Words under a number; `address` leads to the rollouts that they count."""

    text: str
    address: str = ""


@dataclass(frozen=True)
class Number:
    """One number. `address` lists its rollouts, and `scaffold` is the one that the line below it names."""

    label: str
    value: str
    about: tuple[Part, ...]
    address: str = ""
    scaffold: str = ""
    is_bad: bool = False


def numbers(summary: Summary, progress: Progress, *, slug: str, is_estimated: bool) -> tuple[Number, ...]:
    """Returns the numbers of an experiment. `is_estimated` says that some tokens are our own count."""
    rollouts = reverse("experiment-rollouts", args=[slug])
    return (
        *_best(summary, rollouts),
        *_decided(summary),
        _spend(progress, is_estimated=is_estimated),
        _unscored(summary, progress, rollouts),
        *_time(summary, progress),
    )


def _best(summary: Summary, rollouts: str) -> Iterator[Number]:
    """Yields the highest mean reward and its arm, if any arm is scored."""
    scored = [(arm.reward.mean, arm) for arm in summary.arms if arm.reward is not None]
    if scored:
        reward, arm = max(scored, key=lambda found: found[0])
        about = (Part(f"{arm.series} · {arm.group}"),)
        yield Number("Best mean reward", score(reward), about, _list(rollouts, f"arm:{arm.pk}"), arm.scaffold)


def _decided(summary: Summary) -> Iterator[Number]:
    made = [each for each in summary.comparisons if each.paired is not None]
    if not made:
        return
    ahead, behind = count_clear(made)
    told = tuple(Part(f"{count} {word}") for count, word in ((ahead, "ahead"), (behind, "behind")) if count)
    yield Number("Clear differences", f"{ahead + behind} of {len(made)}", told or (Part("none beyond chance"),))


def _spend(progress: Progress, *, is_estimated: bool) -> Number:
    spent = progress.cost + progress.judge_cost
    if progress.unpriced and not spent:
        return Number("Cost", "unpriced", (Part(plural(progress.unpriced, "rollout")),))
    priced = progress.done - progress.cancelled - progress.unpriced
    mark = "≈ " if is_estimated else ""
    about = [Part(f"{mark}{dollars(progress.cost / priced)} per rollout" if priced > 0 else "so far")]
    about += [Part(f"{dollars(progress.judge_cost)} judging")] if progress.judge_cost else []
    about += [Part(f"+ {whole(progress.unpriced)} unpriced")] if progress.unpriced else []
    return Number("Cost", f"{mark}{dollars(spent)}", tuple(about))


def _unscored(summary: Summary, progress: Progress, rollouts: str) -> Number:
    left = summary.left_out
    kinds = (("too_long", left.too_long), ("failed", left.failed), ("unjudged", left.unjudged))
    about = tuple(
        Part(f"{count:,} {name.replace('_', ' ')}", _list(rollouts, f"outcome:{name}"))
        for name, count in kinds
        if count
    )
    nothing = Part("all that ended have a reward" if progress.done > progress.cancelled else "none has ended")
    return Number("Unscored", whole(left.unscored), about or (nothing,), is_bad=bool(left.unscored))


def _time(summary: Summary, progress: Progress) -> Iterator[Number]:
    """Yields the mean seconds of the rollouts that count, if known."""
    known = [(mean, arm.counted) for arm in summary.arms if (mean := arm.means.get("seconds")) is not None]
    total = sum(count for _, count in known)
    if not total:
        return
    seconds = sum(mean * count for mean, count in known) / total
    taken = progress.seconds_taken if progress.is_finished else None
    yield Number("Time per rollout", duration(seconds), (Part(f"{duration(taken)} in all" if taken else "mean"),))


def _list(rollouts: str, query: str) -> str:
    return f"{rollouts}?{urlencode({'q': query})}"
