"""Validation of reviews: a comment with its moment, a tag, a score."""

from __future__ import annotations

from typing import Any

from django import forms

from rlm_runs.models import Comment, Execution, Rollout, Trajectory, Turn
from rlm_runs.models.texts import escape

MOST_CHARS = 20_000


class ScoreForm(forms.Form):
    """A score from 0 to 1 and its reason."""

    score = forms.FloatField(min_value=0, max_value=1)
    reason = forms.CharField(max_length=MOST_CHARS, required=False)


class TagForm(forms.Form):
    """The name of a tag. It has no comma, because filters separate names by commas."""

    name = forms.RegexField(r"^[^,\"*]+$", max_length=60, error_messages={"invalid": "no comma, quote or star"})


class CommentForm(forms.Form):
    """A comment. `call` is a trajectory, empty for the root; `turn` and `cell` are the moment, `cell` as an
    execution's id; `start` and `end` are the range of `quote` in the text of `part`.
    """

    body = forms.CharField(max_length=MOST_CHARS)
    attempt = forms.IntegerField(min_value=1, required=False)
    call = forms.IntegerField(min_value=1, required=False)
    turn = forms.IntegerField(min_value=1, max_value=10**6, required=False)
    cell = forms.IntegerField(min_value=1, required=False)
    part = forms.ChoiceField(choices=[("", ""), *Comment.Part.choices], required=False)
    start = forms.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    end = forms.IntegerField(min_value=1, max_value=2**31 - 1, required=False)
    quote = forms.CharField(max_length=2_000, required=False, strip=False)

    def __init__(self, *args: Any, rollout: Rollout, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rollout = rollout
        self.trajectory: Trajectory | None = None
        self.execution: Execution | None = None

    def clean(self) -> dict[str, Any]:
        """Finds the moment in the rollout. Refuses one that does not exist."""
        given = super().clean() or {}
        if self.errors:
            return given
        if given.get("turn"):
            self.trajectory = self._trajectory(given)
            if not Turn.objects.filter(trajectory=self.trajectory, index=given["turn"] - 1).exists():
                raise forms.ValidationError("the rollout has no such turn")
        elif any(given.get(name) for name in ("call", "cell", "part", "quote")):
            raise forms.ValidationError("a moment needs a turn")
        if given.get("cell"):
            self.execution = Execution.objects.filter(
                pk=given["cell"], turn__trajectory=self.trajectory, turn__index=given["turn"] - 1
            ).first()
            if self.execution is None:
                raise forms.ValidationError("the turn has no such cell")
        start, end = given.get("start"), given.get("end")
        if (start is None) != (end is None) or (start is not None and end is not None and start >= end):
            raise forms.ValidationError("a range needs a start and a later end")
        return given

    def _trajectory(self, given: dict[str, Any]) -> Trajectory | None:
        found = Trajectory.objects.filter(rollout=self.rollout)
        if given.get("call"):
            return found.filter(pk=given["call"]).first()
        attempt = given.get("attempt") or self.rollout.attempt
        return found.filter(kind=Trajectory.Kind.ROOT, attempt=attempt).first()

    def save(self, user: Any) -> Comment:
        """Stores the comment."""
        given = self.cleaned_data
        return Comment.objects.create(
            rollout=self.rollout,
            author=user,
            author_name=user.get_username(),
            trajectory=self.trajectory,
            turn=given.get("turn"),
            execution=self.execution,
            part=given.get("part") or "",
            start=given.get("start"),
            end=given.get("end"),
            quote=escape(given.get("quote") or ""),
            body=escape(given["body"]),
        )
