"""Finds the figure that a URL names, with the current snapshot of its experiment and the chosen options."""

from __future__ import annotations

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404

from rlm_runs.analysis import aggregates
from rlm_runs.analysis.aggregates import Snapshot
from rlm_runs.models import Experiment

from .. import charts
from ..charts import FigureForm, Spec


def found_figure(request: HttpRequest, slug: str, name: str) -> tuple[Snapshot, Spec, FigureForm]:
    """Returns the figure of an address. Raises Http404 if it does not exist, or is empty for this experiment."""
    experiment = get_object_or_404(Experiment, slug=slug)
    spec = charts.FIGURES.get(name)
    if spec is None:
        raise Http404(f"There is no figure named {name}.")
    snapshot = aggregates.snapshot(experiment)
    opens = charts.opening_query(spec, snapshot)
    if opens is None:
        raise Http404("This experiment has nothing that this figure is about.")
    return snapshot, spec, FigureForm(request.GET, snapshot=snapshot, opens=opens)
