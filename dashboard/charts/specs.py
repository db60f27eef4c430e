"""The existing figures, with their contents and default choices. The dimensions are found in the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rlm_runs.analysis.aggregates.dimensions import METADATA, Dimension

MEAN, LIFT, STACK, EFFICIENCY, TRADEOFF = "mean", "lift", "stack", "efficiency", "tradeoff"

TOKEN_PARTS = ("main_prompt_tokens", "main_completion_tokens", "sub_prompt_tokens", "sub_completion_tokens")


@dataclass(frozen=True)
class Part:
    """One panel of a figure per facet: the kind of number (`kind`) and its measure."""

    kind: str
    measure: str = "reward"


@dataclass(frozen=True)
class Spec:
    """One figure. It opens by the first dimension of `by` that the experiment has; without one, the experiment
    lacks the figure. `form` "trend" is for numbers along an axis.
    """

    name: str
    label: str
    question: str
    parts: tuple[Part, ...]
    by: tuple[str, ...] = ("group",)
    facet: tuple[str, ...] = ("rest",)
    form: str = "bars"

    def opens_by(self, dimensions: Mapping[str, Dimension]) -> str | None:
        """Returns the dimension by which the figure opens, among the given ones; None if it does not apply."""
        return next((name for name in self.by if name in dimensions), None)


_ALL = (
    Part(MEAN),
    Part(LIFT),
    Part(STACK, "tokens"),
    Part(EFFICIENCY),
    Part(MEAN, "seconds"),
    Part(TRADEOFF, "main_tokens"),
    Part(MEAN, "sub_calls"),
    Part(MEAN, "cost"),
)
_REWARD_AND_TOKENS = (Part(MEAN), Part(MEAN, "main_tokens"), Part(MEAN, "sub_tokens"))
_SUBSET = ("set.subset", "meta.subset")
_LENGTH = ("meta.context_length", "meta.context_len", "meta.length")

FIGURES = {
    spec.name: spec
    for spec in (
        Spec("reward", "Reward", "Which scaffold wins where?", (Part(MEAN),)),
        Spec("lift", "Lift", "By how much does each scaffold beat the plain LLM?", (Part(LIFT),)),
        Spec("tokens", "Tokens", "Where do the tokens go?", (Part(STACK, "tokens"),)),
        Spec("efficiency", "Efficiency", "How much reward does a main-model token buy?", (Part(EFFICIENCY),)),
        Spec("seconds", "Time", "How long does a rollout take?", (Part(MEAN, "seconds"),)),
        Spec(
            "reward-tokens",
            "Reward × tokens",
            "What does reward cost in tokens?",
            (Part(TRADEOFF, "main_tokens"),),
        ),
        Spec("calls", "Sub-calls", "How much is handed to sub-LLMs?", (Part(MEAN, "sub_calls"),)),
        Spec("cost", "Cost", "What does a rollout cost?", (Part(MEAN, "cost"),)),
        Spec("summary", "All in one", "Reward, tokens, time, calls and cost at a glance", _ALL),
        Spec("by", "By anything", "Does this setting matter?", _REWARD_AND_TOKENS, by=("*", "group")),
        Spec(
            "time-limit",
            "Cell time limit",
            "Does a longer cell help, and which tips?",
            _REWARD_AND_TOKENS,
            by=("set.cell_time_limit",),
        ),
        Spec("subset", "Subset", "Is reward the same on every subset?", (Part(MEAN),), by=_SUBSET),
        Spec(
            "tokens-by-subset",
            "Tokens by subset",
            "Where do the tokens go, subset by subset?",
            (Part(STACK, "tokens"),),
            by=_SUBSET,
        ),
        Spec(
            "context-length",
            "Context length",
            "Does reward hold as the context grows?",
            (Part(MEAN),),
            by=_LENGTH,
            facet=("env", "none"),
            form="binned",
        ),
        Spec(
            "context-length-by-subset",
            "Context length by subset",
            "Does reward hold as the context grows, subset by subset?",
            (Part(MEAN),),
            by=_LENGTH,
            facet=_SUBSET,
            form="binned",
        ),
        Spec(
            "content-type",
            "Content type",
            "Which kind of content is hard to copy?",
            (Part(MEAN),),
            by=("set.content_type", "meta.content_type"),
        ),
        Spec(
            "target-length",
            "Target length",
            "Does reward hold as the text to copy grows?",
            (Part(MEAN),),
            by=("set.target_length", "meta.target_length"),
        ),
        Spec(
            "fragment-length",
            "Fragment length",
            "Does it matter how chopped up the text is?",
            (Part(MEAN),),
            by=("set.mean_fragment_length", "meta.mean_fragment_length"),
        ),
    )
}


@dataclass(frozen=True)
class Entry:
    """A link to a figure of an experiment. `by` names a dimension that differs from the default."""

    spec: Spec
    label: str
    by: str = ""


def entries(dimensions: Mapping[str, Dimension]) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Returns the figures of an experiment: the general ones, and those by a setting or a kind of example."""
    has_own = {name for spec in FIGURES.values() for name in spec.by}
    plain: list[Entry] = []
    by_setting: list[Entry] = []
    for spec in FIGURES.values():
        opens = spec.opens_by(dimensions)
        if spec.name == "by" or opens is None or not _has_facet(spec, dimensions):
            continue
        (plain if spec.by == ("group",) else by_setting).append(Entry(spec, spec.label))
    others = [
        Entry(FIGURES["by"], each.title.capitalize(), by=name)
        for name, each in dimensions.items()
        if name.startswith(("set.", METADATA)) and name not in has_own
    ]
    return tuple(plain), (*by_setting, *others)


def _has_facet(spec: Spec, dimensions: Mapping[str, Dimension]) -> bool:
    return any(name in dimensions or name in ("rest", "none") for name in spec.facet)
