"""The scope of shared links: a list of views for each kind, each with a rule about its objects, and nothing else.

Views are listed by name. A view that is not listed is closed, so a new page is closed until it is listed. Rules
check only the URL; hiding a part of a page protects nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from django.http import QueryDict
from django.urls import ResolverMatch, resolve

from rlm_runs.analysis import filters
from rlm_runs.analysis.aggregates import snapshot
from rlm_runs.models import Rollout, SharedLink
from rlm_runs.models.review import REVIEW_COLUMNS

from ..charts import FIGURES, FigureForm, opening_query

Rule = Callable[[SharedLink, Mapping[str, Any], QueryDict], bool]
"""A function that returns whether a link shows a view, given the link, the parts of the path and the query
string.
"""


def shows(link: SharedLink, match: ResolverMatch, query: QueryDict) -> bool:
    """Returns whether a page is in the link's scope."""
    rule = _RULES[SharedLink.Kind(link.kind)].get(match.view_name)
    return rule is not None and rule(link, match.kwargs, query)


def may_be_framed(link: SharedLink, match: ResolverMatch, query: QueryDict) -> bool:
    """Returns whether other sites may embed this page: a shared figure with `embed=1`."""
    return link.kind == SharedLink.Kind.FIGURE and match.view_name == "figure" and query.get("embed") == "1"


def _of_the_experiment(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    is_its = link.experiment is not None and bool(parts.get("slug") == link.experiment.slug)
    return is_its and not _asks_for_reviews(query)


def _asks_for_reviews(query: QueryDict) -> bool:
    """Returns whether a list would be filtered, sorted or shown by reviews, which links do not show."""
    shown = {part.strip().removeprefix("-") for name in ("columns", "sort") for part in _parts(query, name)}
    if shown & REVIEW_COLUMNS:
        return True
    try:
        return any(
            term.key.lower() in filters.REVIEW_KEYS for q in query.getlist("q") for term in filters.parse(q).terms
        )
    except filters.FilterError:
        return False  # the list reports the error


def _parts(query: QueryDict, name: str) -> list[str]:
    return [part for given in query.getlist(name) for part in given.split(",")]


def _rollout_of_the_experiment(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    return Rollout.objects.filter(pk=parts["pk"], experiment=link.experiment_id).exists()


def _the_rollout(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    return bool(parts["pk"] == link.rollout_id)


def _the_figure(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    """Returns whether this is the shared figure in its shared state, however the URL writes it.

    Readers may choose the treatment of unscored rollouts.
    """
    shared = resolve(link.path).kwargs
    if link.experiment is None or parts != shared or shared["name"] not in FIGURES:
        return False
    now = snapshot(link.experiment)
    opens = opening_query(FIGURES[shared["name"]], now)
    if opens is None:
        return False
    asked, stored = (
        replace(FigureForm(each, snapshot=now, opens=opens).asked(), unscored=opens.unscored)
        for each in (query, QueryDict(link.query))
    )
    return asked == stored


def _the_arms(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    """Returns whether exactly the shared arms are shown, in any order and without the picker."""
    is_picking = any(name == "pick" or name.startswith("find-") for name in query)
    return not is_picking and sorted(query.getlist("arm")) == sorted(map(str, link.arms))


def _rollout_of_the_arms(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    return _are_of_the_arms(link, [str(parts["pk"])])


def _both_of_the_arms(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    """Returns whether both rollouts, and all arms, are among the shared ones."""
    if not set(query.getlist("arm")) <= set(map(str, link.arms)):
        return False
    return _are_of_the_arms(link, [*query.getlist("a"), *query.getlist("b")])


def _completing(link: SharedLink, parts: Mapping[str, Any], query: QueryDict) -> bool:
    """Returns whether completions are for the experiment's own rollouts."""
    return link.experiment is not None and query.getlist("experiment") == [link.experiment.slug]


def _are_of_the_arms(link: SharedLink, given: list[str]) -> bool:
    """Returns whether these are ids of rollouts, at least one, all of shared arms."""
    if not all(text.isascii() and text.isdecimal() and len(text) < 19 for text in given):
        return False
    rollouts = set(map(int, given))
    found = Rollout.objects.filter(pk__in=rollouts, arm__in=link.arms).count()
    return found == len(rollouts) > 0


_REPLAY = (
    *("rollout", "rollout-live", "rollout-now", "call", "batch", "prompt", "text", "api-rollout"),
    *(
        "rollout-timeline",
        "rollout-flame",
        "rollout-context",
        "rollout-answer",
        "rollout-variables",
        "rollout-input",
        "rollout-diagnosis",
        "rollout-spans",
        "rollout-search",
        "rollout-inspector",
        "rollout-standalone",
    ),
)
_FIGURE = ("figure", "figure-live", "figure-csv", "figure-json")
_EXPERIMENT = (
    *("experiment", "experiment-live", "experiment-settings"),
    *("experiment-arms", "experiment-arms-live"),
    *("figures", "figures-live", "figure-small"),
    *("experiment-rollouts", "experiment-rollouts-csv", "api-experiment-rollouts"),
    *("behaviour", "behaviour-csv", "behaviour-json"),
    *("example-types", "example-types-csv", "example-types-json"),
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
