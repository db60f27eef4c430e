"""Template tags of forks."""

from __future__ import annotations

import json
from collections.abc import Iterable

from django import template

from rlm_runs.models import Fork, Rollout

from .tree import Branch, tree_of

register = template.Library()


@register.simple_tag
def fork_tree(rollout: Rollout) -> tuple[Branch, ...]:
    """Returns the tree of forks around a rollout."""
    return tree_of(rollout)


@register.filter
def fork_in(tree: Iterable[Branch], rollout: Rollout) -> Fork | None:
    """Returns the fork of a rollout in a tree; None if the rollout is not a fork."""
    return next((branch.fork for branch in tree if branch.rollout.pk == rollout.pk), None)


@register.filter
def edits(fork: Fork) -> str:
    """Describes the edits of a fork."""
    changes = [f"{name} = {_plain(value)}" for name, value in fork.changes.items()]
    return ", ".join([*fork.edited, *changes]) or "nothing edited"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
