"""Forks by API: the tree, a new fork, and the release of a waiting one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_POST
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rlm_runs.execution import forks as running
from rlm_runs.experiments.forking import ForkRequest, Place, Refused, SpecError, create_fork
from rlm_runs.models import Fork
from rlm_runs.models.texts import unstorable

from ..query_params import rollout_or_404
from .tree import Branch, tree_of

_MOST_BYTES = 4_000_000
"""The maximum size of a request body, in bytes."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    execution: int = Field(default=0, ge=0)
    batch: int = Field(default=0, ge=0)
    position: int = Field(default=0, ge=0)
    answer: str


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    turn: int = Field(ge=1)
    attempt: int | None = Field(default=None, ge=1)
    message: str | None = None
    code: str | None = None
    answers: Sequence[_Answer] = ()
    settings: dict[str, Any] = {}
    sampling: dict[str, Any] = {}
    model: str = ""
    sub_model: str = ""
    hold: Fork.Hold = Fork.Hold.DIFFERENT

    def asked(self) -> ForkRequest:
        """Returns the fork that the body requests."""
        given = self.model_dump(exclude={"answers", "hold"})
        answers = {Place(each.execution, each.batch, each.position): each.answer for each in self.answers}
        return ForkRequest(**given, answers=answers, hold=self.hold.value)


@require_http_methods(["GET", "HEAD", "POST"])
def forks(request: HttpRequest, pk: int) -> JsonResponse:
    """Returns the tree of forks around a rollout (GET), or forks it and returns the new rollout (POST)."""
    found = rollout_or_404(pk)
    if request.method != "POST":
        return JsonResponse({"rollout": pk, "tree": [_branch_json(branch) for branch in tree_of(found)]})
    try:
        if len(request.body) > _MOST_BYTES:
            raise Refused(f"the body may have {_MOST_BYTES:,} bytes")
        asked = _Body.model_validate_json(request.body or b"{}").asked()
        created = create_fork(found, asked, author=request.user.get_username())
    except ValidationError as error:
        problems = json.loads(error.json(include_url=False, include_context=False, include_input=False))
        return JsonResponse({"error": "the body is not a fork", "problems": problems}, status=422)
    except SpecError as error:
        return JsonResponse({"error": "; ".join(map(str, error.problems))}, status=422)
    except Refused as error:
        return JsonResponse({"error": str(error)}, status=422)
    return JsonResponse({"rollout": created.pk, "origin": pk, "turn": asked.turn}, status=201)


@require_POST
def go_on(request: HttpRequest, pk: int) -> JsonResponse:
    """Lets a waiting fork continue."""
    found = get_object_or_404(Fork, rollout=pk, rollout__experiment__deleted_at=None)
    try:
        running.go_on(found)
    except Refused as error:
        return JsonResponse({"error": str(error)}, status=409)
    return JsonResponse({"rollout": pk, "status": "queued"})


def _branch_json(branch: Branch) -> dict[str, Any]:
    row, fork = branch.rollout, branch.fork
    told = {"rollout": row.pk, "status": row.status, "stop_reason": row.stop_reason, "reward": row.reward}
    if fork is None:
        return told | {"origin": None}
    return told | {
        "origin": fork.origin_id,
        "attempt": fork.origin_attempt,
        "turn": fork.turn,
        "edit": unstorable(fork.edit),
        "changes": unstorable(fork.changes),
        "differences": unstorable(fork.differences),
        "hold": fork.hold,
        "author": fork.author,
        "created_at": fork.created_at.isoformat(),
    }
