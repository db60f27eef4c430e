"""Creation of shared links: from a page's URL to the objects that the link shows."""

from __future__ import annotations

from django.http import QueryDict
from django.urls import Resolver404, ResolverMatch, resolve

from rlm_runs.models import Arm, Experiment, Rollout, SharedLink

IN_WORDS = {
    SharedLink.Kind.EXPERIMENT: "this experiment with its figures and rollouts",
    SharedLink.Kind.COMPARISON: "this comparison with the rollouts of its arms",
    SharedLink.Kind.FIGURE: "this figure with its numbers",
    SharedLink.Kind.ROLLOUT: "this rollout with its texts",
}
"""A description of what the reader of a link sees, by kind."""
_LONGEST_PATH = 400
_LONGEST_QUERY = 4_000


class NotShareable(ValueError):
    """The page cannot be shared, or does not exist."""


def link_to(path: str, query: str) -> SharedLink:
    """Returns an unsaved link to the page at this path (without a prefix) and query string. Raises
    NotShareable.
    """
    if len(path) > _LONGEST_PATH or len(query) > _LONGEST_QUERY:
        raise NotShareable("The address of this page is too long to be shared.")
    try:
        match = resolve(path)
    except Resolver404 as error:
        raise NotShareable("There is no such page.") from error
    link = SharedLink(path=path, query=query)
    match match.view_name:
        case "experiment" | "figures" | "experiment-arms" | "experiment-settings" | "behaviour" | "example-types":
            link.kind, link.experiment = SharedLink.Kind.EXPERIMENT, _experiment(match)
        case "figure":
            link.kind, link.experiment = SharedLink.Kind.FIGURE, _experiment(match)
        case "rollout":
            link.kind, link.rollout = SharedLink.Kind.ROLLOUT, _rollout(match)
        case "compare":
            link.kind, link.arms = SharedLink.Kind.COMPARISON, _arms(QueryDict(query))
        case _:
            raise NotShareable("Only experiments, figures, comparisons and rollouts can be shared.")
    return link


def _experiment(match: ResolverMatch) -> Experiment:
    found = Experiment.objects.filter(slug=match.kwargs["slug"]).first()
    if found is None:
        raise NotShareable("There is no such experiment.")
    return found


def _rollout(match: ResolverMatch) -> Rollout:
    found = Rollout.objects.filter(pk=match.kwargs["pk"]).first()
    if found is None:
        raise NotShareable("There is no such rollout.")
    return found


def _arms(query: QueryDict) -> list[int]:
    given = query.getlist("arm")
    arms = [int(text) for text in given if text.isascii() and text.isdecimal() and len(text) < 19]
    if len(arms) < 2 or len(arms) != len(given) or Arm.objects.filter(pk__in=arms).count() != len(arms):
        raise NotShareable("A comparison has two arms or more, each once, and all of them must exist.")
    return arms
