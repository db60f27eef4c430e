"""The form of a fork: the turn's texts, the settings and the models, and which of them were edited."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.http import Http404, QueryDict
from pydantic import ValidationError

from rlm_runs.analysis import transcripts
from rlm_runs.engine.scaffolds.registry import REGISTRY as SCAFFOLDS
from rlm_runs.execution.endpoints import model_choices
from rlm_runs.experiments.forking import ForkRequest, Place
from rlm_runs.experiments.spec import Sampling
from rlm_runs.models import Arm, Execution, Fork, Rollout, Text, Trajectory, Turn
from rlm_runs.models.texts import unescape

_CALLS = 40
"""The maximum number of sub-calls whose answers the page can edit. The command and the API edit any."""
_CHARS = 40_000
"""The maximum length of a text that the page can edit, in characters."""
_ALL_CHARS = 160_000
"""The maximum length of all such texts together, in characters."""


@dataclass(frozen=True)
class EditedText:
    """A text area. Texts that a browser would change, or that are too large, cannot be edited here."""

    name: str
    label: str
    original: str
    value: str

    @property
    def rows(self) -> int:
        """The number of lines of the text area."""
        return min(24, max(3, self.value.count("\n") + len(self.value) // 100 + 1))

    @property
    def changed(self) -> str | None:
        """The edited text; None if it is unchanged."""
        return None if self.value == self.original else self.value


@dataclass(frozen=True)
class EditedSetting:
    """An input for a setting. `value` is JSON, or a bare string."""

    name: str
    label: str
    original: str
    value: str


@dataclass(frozen=True)
class ForkForm:
    """The content of a fork's form."""

    turn: int
    attempt: int
    message: EditedText | None
    code: EditedText | None
    calls: tuple[tuple[Place, EditedText], ...]
    omitted_calls: int
    settings: tuple[EditedSetting, ...]
    sampling: tuple[EditedSetting, ...]
    model: str
    sub_model: str
    hold: str
    models: tuple[str, ...] = field(default=())

    @property
    def request(self) -> ForkRequest:
        """The fork that the form requests."""
        edited = {place: text.changed for place, text in self.calls}
        return ForkRequest(
            turn=self.turn,
            attempt=self.attempt,
            message=self.message.changed if self.message else None,
            code=self.code.changed if self.code else None,
            answers={place: text for place, text in edited.items() if text is not None},
            settings=_changed(self.settings),
            sampling=_changed(self.sampling),
            model=self.model,
            sub_model=self.sub_model,
            hold=self.hold,
        )


def form_of(rollout: Rollout, data: QueryDict, *, turn: int, attempt: int) -> ForkForm:
    """Returns the form of a turn, with the values in `data`. Raises Http404 without such a turn."""
    root = transcripts.root_of(rollout, attempt=attempt)
    row = Turn.objects.filter(trajectory=root, index=turn - 1, error="").first() if root else None
    if row is None:
        raise Http404("there is no such turn")
    arm = rollout.arm
    left = _Room()
    message = left.text("message", "Message", Text.objects.read([row.content_id])[row.content_id], data)
    source = _code_of(row)
    code = None if source is None else left.text("code", "Cell", source, data)
    calls, omitted = _calls(row, left, data)
    sampling = {name: arm.sampling.get(name) for name in Sampling.model_fields}
    given = data.get("hold", "")
    return ForkForm(
        turn=turn,
        attempt=attempt,
        message=message,
        code=code,
        calls=calls,
        omitted_calls=omitted,
        settings=tuple(_settings("set", _scaffold_settings(arm), data)),
        sampling=tuple(_settings("sampling", sampling, data)),
        model=data.get("model") or arm.model,
        sub_model=data.get("sub_model") or arm.sub_model,
        hold=given if given in Fork.Hold.values else Fork.Hold.DIFFERENT,
        models=tuple(dict.fromkeys([arm.model, arm.sub_model, *(choice.name for choice in model_choices())])),
    )


class _Room:
    """The number of characters that the page has left for texts."""

    def __init__(self) -> None:
        self._chars = _ALL_CHARS

    def text(self, name: str, label: str, original: str, data: QueryDict) -> EditedText | None:
        """Returns a text area; None for a text that a form would not return unchanged."""
        if len(original) > min(_CHARS, self._chars) or not _survives(original):
            return None
        self._chars -= len(original)
        return EditedText(name, label, original, data.get(name, original).replace("\r\n", "\n"))


def _survives(text: str) -> bool:
    """Returns whether a form returns the text unchanged."""
    return "\r" not in text and not any(
        character == "\0" or "\ud800" <= character <= "\udfff" for character in text
    )


def _code_of(turn: Turn) -> str | None:
    """Returns the source of the turn's first cell."""
    cell = Execution.objects.filter(turn=turn, kind=Execution.Kind.CELL).order_by("position").first()
    if cell is None:
        return None
    try:
        found = json.loads(Text.objects.read([cell.arguments_id])[cell.arguments_id])["code"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _calls(turn: Turn, left: _Room, data: QueryDict) -> tuple[tuple[tuple[Place, EditedText], ...], int]:
    """Returns the text areas of the sub-calls' answers, and the number of sub-calls without one."""
    rows = Trajectory.objects.filter(parent__turn=turn, kind=Trajectory.Kind.SUB, finished_at__isnull=False)
    total = rows.count()
    shown = list(rows.select_related("parent").order_by("parent__position", "batch", "position")[:_CALLS])
    texts = Text.objects.read(row.answer_id for row in shown if row.answer_id)
    found = []
    for row in shown:
        place = Place(row.parent.position if row.parent else 0, row.batch or 0, row.position or 0)
        name = f"answer-{place.execution}-{place.batch}-{place.position}"
        original = texts[row.answer_id] if row.answer_id else ""
        label = f"Batch {place.batch + 1}, call {place.position + 1}"
        if (text := left.text(name, label, original, data)) is not None:
            found.append((place, text))
    return tuple(found), total - len(found)


def _scaffold_settings(arm: Arm) -> Mapping[str, Any]:
    """Returns all settings of the arm's scaffold, including defaults."""
    found: Mapping[str, Any] = arm.scaffold_settings
    with suppress(KeyError, ValidationError):  # the scaffold is gone, or its settings have changed
        found = SCAFFOLDS[arm.scaffold].settings_type(**found).model_dump(mode="json")
    return found


def _settings(prefix: str, values: Mapping[str, Any], data: QueryDict) -> Iterator[EditedSetting]:
    for name, value in values.items():
        original = "" if value is None else unescape(value) if isinstance(value, str) else json.dumps(value)
        key = f"{prefix}-{name}"
        yield EditedSetting(key, name, original, data.get(key, original).strip())


def _changed(settings: tuple[EditedSetting, ...]) -> dict[str, Any]:
    return {each.label: _value(each.value) for each in settings if each.value != each.original}


def _value(given: str) -> Any:
    if not given:
        return None
    try:
        return json.loads(given)
    except ValueError:
        return given
