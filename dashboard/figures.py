"""Figures as data for plotly, made from frozen rows. Pure: no store, no request.

Colours are written as CSS custom properties (`var(--…)`); the page's script puts in what the theme makes of them,
so that a figure follows light and dark without being made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rlm_runs.aggregates import ArmSummary, Summary, Unscored

from .formatting import count, visible

Link = Callable[[ArmSummary], str]
"""The address of an arm's rollouts."""

_COLOURED = ("llm", "rlm", "rlm_tips")
_BAR = 0.07
"""The widest a bar may be, of the figure's width."""
_PATTERNS = ("", "/", "x", ".", "-")
_PATTERN_WORDS = ("", "striped", "crossed", "dotted", "barred")


def reward_by_environment(summary: Summary, *, link: Link) -> dict[str, Any]:
    """Mean reward by environment × scaffold, a bar each with its 95 % interval."""
    groups = list(dict.fromkeys(_plain(arm.group) for arm in summary.arms))
    series = list(dict.fromkeys((arm.scaffold, arm.series) for arm in summary.arms))
    seen: dict[str, int] = {}
    data = []
    for scaffold, name in series:
        arms = [arm for arm in summary.arms if (arm.scaffold, arm.series) == (scaffold, name) and arm.reward]
        pattern = _PATTERNS[seen.get(scaffold, 0) % len(_PATTERNS)]
        seen[scaffold] = seen.get(scaffold, 0) + 1
        data.append(_bars(name, scaffold, arms, pattern=pattern, link=link))
    rewarded = [arm for arm in summary.arms if arm.reward]
    return {"data": data, "layout": _layout(groups, rewarded, series=len(series))}


@dataclass(frozen=True)
class LegendEntry:
    """One colour and pattern of the figure."""

    scaffold: str
    name: str
    pattern: str


def legend(summary: Summary) -> tuple[LegendEntry, ...]:
    """What the bars' colours and patterns stand for, in words where a pattern does."""
    seen: dict[str, int] = {}
    entries = []
    for scaffold, name in dict.fromkeys((arm.scaffold, arm.series) for arm in summary.arms):
        entries.append(
            LegendEntry(scaffold=scaffold, name=name, pattern=_PATTERN_WORDS[seen.get(scaffold, 0) % 5])
        )
        seen[scaffold] = seen.get(scaffold, 0) + 1
    return tuple(entries)


def _bars(name: str, scaffold: str, arms: Sequence[ArmSummary], *, pattern: str, link: Link) -> dict[str, Any]:
    rewards = [arm.reward for arm in arms if arm.reward]
    colour = f"var(--{scaffold if scaffold in _COLOURED else 'other'})"
    return {
        "type": "bar",
        "name": _plain(name),
        "x": [_plain(arm.group) for arm in arms],
        "y": [reward.mean for reward in rewards],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [(reward.high or reward.mean) - reward.mean for reward in rewards],
            "arrayminus": [
                reward.mean - (reward.mean if reward.low is None else reward.low) for reward in rewards
            ],
            "color": "var(--ink)",
            "thickness": 1,
            "width": 4,
        },
        "marker": {"color": colour, "pattern": {"shape": pattern, "solidity": 0.3}},
        "customdata": [[link(arm), _hover(arm)] for arm in arms],
        "hovertemplate": "%{customdata[1]}<extra></extra>",
    }


def _hover(arm: ArmSummary) -> str:
    """Exact values, in the few tags that plotly knows; names are not ours, so their angles go."""
    reward = arm.reward
    if reward is None:
        return ""
    lines = [
        f"<b>{_plain(arm.series)}</b> on {_plain(arm.group)}",
        f"mean reward {reward.mean:.4f}, n {reward.n} of {arm.total}",
    ]
    if reward.low is not None and reward.high is not None:
        lines.append(f"95 % interval {reward.low:.4f} to {reward.high:.4f} ({reward.method})")
    left_out = [(arm.too_long, "too long"), (arm.failed, "failed"), (arm.cancelled, "cancelled")]
    lines += [", ".join(f"{count(number)} {word}" for number, word in left_out if number)]
    lines += ["simulated model"] * arm.simulated + ["process sandbox: no walls"] * arm.process_sandbox
    return "<br>".join(line for line in lines if line)


def _plain(name: str) -> str:
    return visible(name).replace("<", "‹").replace(">", "›").replace("&", "+")


def _layout(groups: Sequence[str], rewards: Sequence[ArmSummary], *, series: int) -> dict[str, Any]:
    top = max([1.0, *(arm.reward.high or arm.reward.mean for arm in rewards if arm.reward)])
    bottom = min([0.0, *(arm.reward.low or 0.0 for arm in rewards if arm.reward)])
    return {
        "barmode": "group",
        # Few bars stay slim instead of filling the page.
        "bargap": max(0.28, 1 - _BAR * len(groups) * max(series, 1)),
        "bargroupgap": 0.08,
        "height": 320,
        "margin": {"l": 48, "r": 8, "t": 8, "b": 32},
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "var(--sans)", "size": 12, "color": "var(--ink)"},
        "hoverlabel": {
            "align": "left",
            "bgcolor": "var(--raised)",
            "bordercolor": "var(--line-strong)",
            "font": {"family": "var(--sans)", "size": 12, "color": "var(--ink)"},
        },
        # The range is said, so that groups stand in their places before they have a bar.
        "xaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(groups),
            "range": [-0.5, len(groups) - 0.5],
            "tickmode": "array",
            "tickvals": list(range(len(groups))),
            "ticktext": [group.replace(" · ", "<br>") for group in groups],
            "automargin": True,
            "fixedrange": True,
        },
        "yaxis": {
            "title": {"text": "mean reward", "standoff": 8},
            "range": [bottom, top * 1.04],
            "tickformat": ".1f",
            "dtick": 0.2,
            "gridcolor": "var(--line)",
            "zerolinecolor": "var(--line-strong)",
            "fixedrange": True,
        },
    }


def caption(summary: Summary) -> str:
    """What the figure counts, and what it leaves out, in words."""
    scored = sum(arm.scored for arm in summary.arms)
    words = [f"Bars are mean rewards, whiskers 95 % intervals; n {scored:,} scored rollouts."]
    too_long, failed = (sum(getattr(arm, side) for arm in summary.arms) for side in ("too_long", "failed"))
    if too_long or failed:
        counts = " and ".join(
            f"{number:,} {word}" for number, word in ((too_long, "too long"), (failed, "failed")) if number
        )
        how = "counted as zero" if summary.unscored is Unscored.ZERO else "left out"
        words.append(f"{counts} {how}.")
    return " ".join(words)
