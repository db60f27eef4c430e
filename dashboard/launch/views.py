"""The launch form, and the spec that says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from rlm_runs.experiments.launch import Problem, SpecError, launch
from rlm_runs.experiments.launch_check import check_models
from rlm_runs.experiments.plan import resolve
from rlm_runs.models import Experiment

from .clone import data_of, says_the_same
from .form import as_toml, page, spec_of, starting_data


@require_http_methods(["GET", "HEAD", "POST"])
def launch_form(request: HttpRequest) -> HttpResponse:
    """Launches what the form says; a GET opens it, filled with what its query string gives."""
    if request.method != "POST":
        if slug := request.GET.get("clone"):
            return _clone(request, get_object_or_404(Experiment, slug=slug))
        return _form(request, request.GET or starting_data())
    user = request.user
    assert isinstance(user, User)
    spec = spec_of(request.POST)
    try:
        if "no_probe" not in request.POST:
            _probe(spec)
        experiment = launch(spec, user=user, data_dir=settings.RLM_DATA_DIR)
    except SpecError as error:
        return _form(request, request.POST, error.problems)
    return redirect(experiment)


def _probe(spec: Mapping[str, Any]) -> None:
    """Raises SpecError if a model cannot be reached or takes no tools. A slow model passes."""
    try:
        plan = resolve(spec)
    except SpecError:
        return  # launching reports the problem
    if problems := check_models(plan).problems:
        raise SpecError(problems)


@require_safe
def launch_spec(request: HttpRequest) -> HttpResponse:
    """The spec of a form as it stands, for the panel beside it."""
    return render(request, "dashboard/launch/_spec.html", {"toml": as_toml(spec_of(request.GET))})


def _clone(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """The form filled with an experiment's spec, with a note if the form cannot show all of it."""
    if experiment.sources:
        return _form(request, starting_data(), (Problem("", "Imported rollouts have no spec to launch."),))
    data = data_of(experiment.spec)
    problems = () if says_the_same(spec_of(data), experiment.spec) else (Problem("", _NOT_ALL),)
    return _form(request, data, problems)


_NOT_ALL = (
    "This spec combines settings that the form cannot show. The form shows the rest; "
    "manage.py control SLUG clone launches all of it."
)


def _form(request: HttpRequest, data: QueryDict, problems: tuple[Problem, ...] = ()) -> HttpResponse:
    form = page(data, problems)
    context = {
        "form": form,
        "problem_count": sum(map(len, form.problems.values())),
        "is_launching": request.method == "POST",
        "no_probe": "no_probe" in data,
    }
    return render(
        request,
        "dashboard/launch/form.html",
        context,
        status=422 if problems and request.method == "POST" else 200,
    )
