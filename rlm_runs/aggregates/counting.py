"""Which rollouts count, and as what: a rollout without a reward is never silently a zero."""

from __future__ import annotations

from enum import Enum

from django.db.models import Q

from ..models import Rollout

TOO_LONG = "prompt_too_long"

COMPLETED = Q(status=Rollout.Status.COMPLETED)
FAILED = Q(status=Rollout.Status.FAILED)
CANCELLED = Q(status=Rollout.Status.CANCELLED)
BEGUN_AND_ENDED = Q(status__in=Rollout.FINISHED, started_at__isnull=False)


class Unscored(Enum):
    """What a rollout that ended without a reward counts as; cancelled and unfinished ones count in no way."""

    EXCLUDE = "exclude"
    ZERO = "zero"
