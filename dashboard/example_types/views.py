"""Results by type of example. A pooled mean can hide that an arm wins on one type and loses on another."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from rlm_runs.analysis.aggregates import ended_early_words, snapshot
from rlm_runs.analysis.aggregates.example_types import ByType, Dependence, TypeRow, by_type, type_keys
from rlm_runs.models import Experiment
from rlm_runs.models.texts import unescape

from .. import unscored
from ..charts.forest import Estimate, Scale
from ..early_stopping import difference
from ..formatting import no_formula, probability
from .forms import TypesForm

FIELDS = (
    *("environment", "type", "scaffold", "baseline", "arm", "baseline_arm", "n", "mean", "baseline_mean"),
    *("difference", "low", "high", "better", "equal", "worse", "test", "p", "corrected_p"),
    *("n_needed", "n_needed_for_effect"),
)


@require_safe
def types_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Shows each arm against its baseline by the values of a metadata key."""
    experiment, found = _found(request, slug)
    context: dict[str, Any] = {"section": "experiments", "experiment": experiment, "found": found}
    if found is not None:
        scale = Scale.of(Estimate.of(row.paired, p=row.p) for row in found.rows)
        arms = {row.arm.pk for row in found.rows if row.arm.ended_early or row.baseline.ended_early}
        context |= {
            "axis": scale.axis(),
            "rows": [_shown(row, scale) for row in found.rows],
            "dependences": [_dependence(each) for each in found.dependences],
            "unscored": found.unscored.value,
            "unscored_control": unscored.control(snapshot(experiment), found.unscored),
            "ended_early": ended_early_words(arm for arm in snapshot(experiment).arms if arm.pk in arms),
        }
    return render(request, "dashboard/example_types/page.html", context)


@require_safe
def types_csv(request: HttpRequest, slug: str) -> HttpResponse:
    """Returns every number of the table as CSV, a line per row."""
    _, found = _found(request, slug)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{slug}-types.csv"'
    writer = csv.DictWriter(response, FIELDS)
    writer.writeheader()
    for record in _records(found):
        writer.writerow({name: no_formula(v) if isinstance(v, str) else v for name, v in record.items()})
    return response


@require_safe
def types_json(request: HttpRequest, slug: str) -> JsonResponse:
    """Returns the same as JSON, with the available keys."""
    experiment, found = _found(request, slug)
    return JsonResponse(
        {
            "experiment": experiment.slug,
            "key": found and found.key,
            "keys": list(found.keys) if found else [],
            "effect": found and found.effect,
            "unscored": found and found.unscored.value,
            "comparisons": found.comparisons if found else 0,
            "rows": list(_records(found)),
            "dependences": [
                {
                    "arm": each.arm.pk,
                    "baseline_arm": each.baseline.pk,
                    "lowest_type": unescape(each.low.value.label),
                    "highest_type": unescape(each.high.value.label),
                    "corrected_p": each.p,
                }
                for each in (found.dependences if found else ())
            ],
        }
    )


def _found(request: HttpRequest, slug: str) -> tuple[Experiment, ByType | None]:
    experiment = get_object_or_404(Experiment, slug=slug)
    now, form = snapshot(experiment), TypesForm(request.GET)
    keys = type_keys(now)
    if not keys:
        return experiment, None
    key = form.chosen_key(keys)
    return experiment, by_type(now, key, unscored=form.chosen(), effect=form.chosen_effect())


def _records(found: ByType | None) -> Iterator[dict[str, Any]]:
    for row in found.rows if found else ():
        pair = row.paired
        yield {
            "environment": unescape(row.environment),
            "type": unescape(row.value.label),
            "scaffold": row.arm.series,
            "baseline": row.baseline.series,
            "arm": row.arm.pk,
            "baseline_arm": row.baseline.pk,
            "n": pair.n if pair else 0,
            "mean": row.mean,
            "baseline_mean": row.baseline_mean,
            "difference": pair and pair.mean_difference,
            "low": pair and pair.difference.low,
            "high": pair and pair.difference.high,
            "better": pair and pair.better,
            "equal": pair and pair.equal,
            "worse": pair and pair.worse,
            "test": pair and pair.test,
            "p": pair and pair.p,
            "corrected_p": row.p,
            "n_needed": row.needed,
            "n_needed_for_effect": row.needed_for_effect,
        }


def _shown(row: TypeRow, scale: Scale) -> dict[str, Any]:
    """Returns a row for the template. `filter` finds its rollouts, "" if there is none."""
    pair, term = row.paired, row.value.term
    return {
        "row": row,
        "n": pair.n if pair else 0,
        "difference": _difference(row),
        "forest": scale.drawn(Estimate.of(pair, p=row.p)),
        "p": "" if row.p is None else probability(row.p).removeprefix("p = ").removeprefix("p "),
        "is_clear": row.p is not None and row.p < 0.05,
        "filter": "" if term is None else f"arm:{row.arm.pk},{row.baseline.pk} {term}",
    }


def _difference(row: TypeRow) -> str:
    if row.paired is None:
        return ""
    found = row.paired.difference
    if found.low is None or found.high is None:
        return f"{found.mean:+.2f}".replace("-", "−")
    return difference(found.mean, found.low, found.high)


def _dependence(each: Dependence) -> dict[str, Any]:
    return {
        "arm": each.arm,
        "low": each.low,
        "high": each.high,
        "low_difference": _difference(each.low),
        "high_difference": _difference(each.high),
        "is_clear": each.p < 0.05,
        "p": probability(each.p),
    }
