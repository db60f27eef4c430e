"""The Settings section: what the arms share, what differs between them, and the spec that launched them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from rlm_runs.analysis.aggregates.arm_settings import SettingRow, setting_rows
from rlm_runs.analysis.aggregates.dimensions import arm_parts
from rlm_runs.models import Arm, Experiment
from rlm_runs.models.texts import unescape

from ..addresses import address_of
from ..permissions import share_of

_AT_ONCE = 24
"""Arms that one page shows side by side; the JSON has all."""
_LONGEST_SPEC = 60_000
_OF_THE_EXPERIMENT = {"experiment", "seed", "code version"}


@require_safe
def settings_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Shows settings, spec and origin of an experiment."""
    experiment, arms = _found(slug)
    parts = arm_parts(arms)
    rows = _rows(arms[:_AT_ONCE])
    has_spec = share_of(request) is None and bool(experiment.spec)
    spec = json.dumps(experiment.spec, ensure_ascii=False, indent=2) if has_spec else ""
    context: dict[str, Any] = {
        "section": "experiments",
        "experiment": experiment,
        "arms": [
            (arm, parts[arm.pk].label(of="scaffold"), parts[arm.pk].label(of="environment"))
            for arm in arms[:_AT_ONCE]
        ],
        "more_arms": max(0, len(arms) - _AT_ONCE),
        "differing": [row for row in rows if row.differs],
        "shared": [row for row in rows if not row.differs],
        "spec": spec if len(spec) <= _LONGEST_SPEC else "",
        "duplicate": address_of("launch") if share_of(request) is None else "",
    }
    return render(request, "dashboard/arm_settings/page.html", context)


@require_safe
def settings_json(request: HttpRequest, slug: str) -> JsonResponse:
    """Returns all settings of all arms."""
    experiment, arms = _found(slug)
    return JsonResponse(
        {
            "experiment": experiment.slug,
            "seed": experiment.seed,
            "code_version": experiment.code_version,
            "arms": [arm.pk for arm in arms],
            "settings": [
                {"group": row.group, "name": unescape(row.name), "values": [unescape(each) for each in row.values]}
                for row in _rows(arms)
            ],
        }
    )


def _found(slug: str) -> tuple[Experiment, Sequence[Arm]]:
    experiment = get_object_or_404(Experiment.objects.select_related("created_by"), slug=slug)
    return experiment, list(experiment.arms.select_related("experiment").order_by("position"))


def _rows(arms: Sequence[Arm]) -> list[SettingRow]:
    """Returns the settings of the arms, without those of the experiment."""
    return [row for row in setting_rows(arms) if row.name not in _OF_THE_EXPERIMENT]
