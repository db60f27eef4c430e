"""Changes of the details that lists show of an experiment: its description, tags and owner."""

from __future__ import annotations

import re

from django.contrib.auth.models import User
from django.db import transaction

from ..execution.experiment_log import record_action
from ..execution.selection import Refused
from ..models import Experiment, ExperimentTag
from ..models.texts import escape
from .action_options import DescribeOptions

_TAG = re.compile(r"[^,\"*\x00]{1,60}")
_MOST_TAGS = 20


def describe(experiment: Experiment, options: DescribeOptions, actor: str) -> str:
    """Changes the given details. An empty value clears one. Raises Refused if one is invalid or none is given."""
    owner = None
    if options.owner and (owner := User.objects.filter(username=options.owner).first()) is None:
        raise Refused(f"there is no user {options.owner!r}")
    wrong = [tag for tag in options.tags or () if not _TAG.fullmatch(tag)]
    if wrong or len(options.tags or ()) > _MOST_TAGS:
        raise Refused(f"at most {_MOST_TAGS} tags of 1 to 60 characters, without quotes and stars")
    changed = {name: value for name, value in options.model_dump().items() if value is not None}
    if not changed:
        raise Refused("nothing is given: description, tags or owner")
    with transaction.atomic():
        if options.description is not None:
            experiment.description = escape(options.description.strip())
        if options.owner is not None:
            experiment.created_by = owner
        experiment.save(update_fields=["description", "created_by"])
        if options.tags is not None:
            author = User.objects.filter(username=actor).first()
            ExperimentTag.objects.replace(experiment, options.tags, author=author, actor=actor)
        told = changed | ({"tags": ", ".join(options.tags)} if options.tags is not None else {})
        record_action(experiment, action="described", actor=actor, details=told)
    return f"{', '.join(changed)} changed"
