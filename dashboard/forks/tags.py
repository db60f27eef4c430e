"""Template tags of forks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from rlm_runs.models import Fork, Rollout

from .tree import Branch, tree_of

register = template.Library()


@register.simple_tag
def fork_tree(rollout: Rollout) -> tuple[Branch, ...]:
    """The tree of forks that a rollout is in."""
    return tree_of(rollout)


@register.simple_tag
def fork_itself(rollout: Rollout) -> Fork | None:
    """What makes a rollout a fork; None if it is none."""
    return Fork.objects.filter(rollout=rollout).select_related("rollout").first()


@register.filter
def edits(fork: Fork) -> str:
    """What was edited, in words."""
    return ", ".join(fork.edited) or "nothing edited"


@register.filter
def changed(fork: Fork) -> Mapping[str, Any]:
    """The settings and models that differ from the origin's."""
    changes: Mapping[str, Any] = fork.changes
    return changes
