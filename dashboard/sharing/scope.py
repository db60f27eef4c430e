"""What a shared link shows: a list of views for each kind, each with a rule about its objects. Nothing else.

Views are known by their names; one that is not listed is not shown, so that a new page is closed until somebody
decides. Rules look at the address only: what is hidden on a page is no protection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from django.http import QueryDict
from django.urls import ResolverMatch, resolve

from rlm_runs.analysis.aggregates import snapshot
from rlm_runs.models import Rollout, SharedLink

from ..charts import FIGURES, FigureForm, opening

Rule = Callable[[SharedLink, Mapping[str, Any], QueryDict], bool]
"""Whether a link shows a view: the link, the parts of the path, the query string."""


def shows(link: SharedLink, match: ResolverMatch, query: QueryDict) -> bool:
    """Whether this page is part of what was shared."""
    rule = _RULES[SharedLink.Kind(link.kind)].get(match.view_name)
    return rule is not None and rule(link, match.kwargs, query)


def may_be_framed(link: SharedLink, match: ResolverMatch, query: QueryDict) -> bool:
    """Whether this page may stand in a frame of another site: a shared figure that asks to be embedded."""
    return link.kind == SharedLink.Kind.FIGURE and match.view_name == "figure" and query.get("embed") == "1"


def _of_the_experiment(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    return link.experiment is not None and bool(parts.get("slug") == link.experiment.slug)


def _rollout_of_the_experiment(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    return Rollout.objects.filter(pk=parts["pk"], experiment=link.experiment_id).exists()


def _the_rollout(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    return bool(parts["pk"] == link.rollout_id)


def _the_figure(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    """The same figure of the same experiment with the state that it was shared with, however the address says it.

    How rollouts without a reward count is the reader's choice: that switch stands on every figure.
    """
    shared = resolve(link.path).kwargs
    if link.experiment is None or parts != shared or shared["name"] not in FIGURES:
        return False
    now = snapshot(link.experiment)
    opens = opening(FIGURES[shared["name"]], now)
    if opens is None:
        return False
    asked, stored = (
        replace(FigureForm(each, snapshot=now, opens=opens).asked(), unscored=opens.unscored)
        for each in (query, QueryDict(link.query))
    )
    return asked == stored


def _the_arms(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    """Exactly the arms that were shared, whichever of them comes first, and no choice of others."""
    is_picking = any(name == "pick" or name.startswith("find-") for name in query)
    return not is_picking and sorted(query.getlist("arm")) == sorted(map(str, link.arms))


def _rollout_of_the_arms(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    return _are_of_the_arms(link, [str(parts["pk"])])


def _both_of_the_arms(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    """Two rollouts, and no other arms beside theirs than those that were shared."""
    if not set(query.getlist("arm")) <= set(map(str, link.arms)):
        return False
    return _are_of_the_arms(link, [*query.getlist("a"), *query.getlist("b")])


def _completing(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    """What may be written into the filter of the experiment's own rollouts."""
    return link.experiment is not None and query.getlist("experiment") == [link.experiment.slug]


def _are_of_the_arms(link: SharedLink, given: list[str]) -> bool:
    """Whether these are ids of rollouts, at least one, and all of arms that were shared."""
    if not all(text.isascii() and text.isdecimal() and len(text) < 19 for text in given):
        return False
    rollouts = set(map(int, given))
    found = Rollout.objects.filter(pk__in=rollouts, arm__in=link.arms).count()
    return found == len(rollouts) > 0


_REPLAY = ("rollout", "rollout-live", "call", "batch", "prompt", "text", "api-rollout")
_FIGURE = ("figure", "figure-live", "figure-csv", "figure-json")
_EXPERIMENT = (
    *("experiment", "experiment-live"),
    *("experiment-rollouts", "experiment-rollouts-csv", "api-experiment-rollouts"),
    *("behaviour", "behaviour-csv", "behaviour-json"),
)
_COMPARISON = ("compare", "compare-prompts", "compare-matrix-csv", "compare-measures-csv", "compare-json")
_RULES: Mapping[SharedLink.Kind, Mapping[str, Rule]] = {
    SharedLink.Kind.EXPERIMENT: {
        **dict.fromkeys((*_EXPERIMENT, *_FIGURE), _of_the_experiment),
        "filter-completions": _completing,
        **dict.fromkeys(_REPLAY, _rollout_of_the_experiment),
    },
    SharedLink.Kind.COMPARISON: {
        **dict.fromkeys(_COMPARISON, _the_arms),
        **dict.fromkeys(("compare-rollouts", "compare-rollouts-json"), _both_of_the_arms),
        **dict.fromkeys(_REPLAY, _rollout_of_the_arms),
    },
    SharedLink.Kind.FIGURE: dict.fromkeys(_FIGURE, _the_figure),
    SharedLink.Kind.ROLLOUT: dict.fromkeys(_REPLAY, _the_rollout),
}
