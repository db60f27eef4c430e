"""The launch form, its live preview, and the check of its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rlm_runs.experiments.launch import launch
from rlm_runs.experiments.launch_check import ModelCheck, check_models
from rlm_runs.experiments.plan import resolve
from rlm_runs.experiments.presets import presets
from rlm_runs.experiments.problems import Problem, SpecError
from rlm_runs.models import Experiment, LaunchDraft

from .form import page, placed_problems, spec_of, starting_data
from .preview import preview
from .start import (
    Start,
    as_text,
    from_draft,
    from_experiment,
    from_preset,
    from_text,
    is_toml,
    spec_in,
)
from .toml_file import as_toml

_LARGEST_FILE = 1_000_000
"""Bytes of a file that is dropped."""
_RECENT = 6


@require_http_methods(["GET", "HEAD", "POST"])
def launch_form(request: HttpRequest) -> HttpResponse:
    """Shows the form, filled from the query string (GET), or launches its spec (POST)."""
    if request.method != "POST":
        return _page(request, _start(request), is_fresh=not request.GET)
    if request.POST.get("do") == "form":
        return _page(request, from_text(request.POST.get("toml", "")))
    user = request.user
    assert isinstance(user, User)
    try:
        if request.POST.get("do") == "toml":
            return _page(request, as_text(request.POST))
        spec = spec_in(request.POST)
        checked = ModelCheck() if "no_probe" in request.POST else _probed(spec)
        if checked.problems:
            raise SpecError(checked.problems)
        if checked.warnings:
            return _page(request, Start(request.POST), warnings=checked.warnings, status=422)
        experiment = launch(spec, user=user, data_dir=settings.RLM_DATA_DIR)
    except SpecError as error:
        return _page(request, Start(request.POST), problems=error.problems, status=422)
    if draft := _draft(request, request.POST.get("draft", "")):
        draft.delete()
    return redirect(experiment)


@require_safe
def launch_spec(request: HttpRequest) -> HttpResponse:
    """Shows the spec of a form as TOML."""
    return render(request, "dashboard/launch/_spec.html", {"toml": as_toml(spec_of(request.GET))})


@require_http_methods(["GET", "HEAD", "POST"])
def launch_preview(request: HttpRequest) -> HttpResponse:
    """Shows the grid, the estimate and the problems of a form."""
    data = request.POST if request.method == "POST" else request.GET
    return render(request, "dashboard/launch/_live.html", _previewed(data))


@require_POST
def launch_file(request: HttpRequest) -> HttpResponse:
    """Shows the form filled with an uploaded TOML file."""
    file = request.FILES.get("file")
    if file is None or file.size is None or file.size > _LARGEST_FILE:
        raise BadRequest(f"a TOML file of at most {_LARGEST_FILE:,} bytes is needed")
    return _page(request, from_text(file.read().decode(errors="replace")))


@require_POST
def launch_probe(request: HttpRequest) -> HttpResponse:
    """Sends a prompt to each selected model, and shows the results."""
    try:
        checked = _probed(spec_in(request.POST))
    except SpecError as error:
        checked = ModelCheck(problems=error.problems)
    return render(request, "dashboard/launch/_probed.html", {"checked": checked})


def _probed(spec: Mapping[str, Any]) -> ModelCheck:
    """Returns the check of the models. It is empty if the spec is invalid, because the preview reports that."""
    try:
        plan = resolve({**spec, "name": spec.get("name") or "untitled"})
    except SpecError:
        return ModelCheck()
    return check_models(plan)


def _start(request: HttpRequest) -> Start:
    """Returns the initial form for the query string."""
    if slug := request.GET.get("clone"):
        return from_experiment(get_object_or_404(Experiment, slug=slug))
    if name := request.GET.get("preset"):
        found = next((preset for preset in presets() if preset.name == name), None)
        if found is None:
            raise Http404(f"there is no preset {name}")
        return from_preset(found, on_generated_data="generated" in request.GET)
    if number := request.GET.get("draft"):
        draft = _draft(request, number)
        if draft is None:
            raise Http404("there is no such draft")
        return from_draft(draft)
    return Start(request.GET or starting_data())


def _draft(request: HttpRequest, number: str) -> LaunchDraft | None:
    if not number.isdecimal() or len(number) > 18:
        return None
    return LaunchDraft.objects.filter(user=request.user.pk, pk=int(number)).first()


def _previewed(data: QueryDict, problems: Sequence[Problem] | None = None) -> dict[str, Any]:
    """Returns the context of the preview. `problems` are those of a refused launch; None for the preview's own."""
    try:
        spec = spec_in(data)
    except SpecError as error:
        spec, problems = {}, error.problems
    shown = preview(spec, may_lack_name=not is_toml(data))
    problems = shown.problems if problems is None else problems
    placed = _by_field(problems) if is_toml(data) else placed_problems(data, problems)
    return {
        "preview": shown,
        "problems": problems,
        "placed": placed,
        "problem_count": sum(map(len, placed.values())),
        "is_toml": is_toml(data),
        "toml": "" if is_toml(data) else as_toml(spec),
    }


def _by_field(problems: Sequence[Problem]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for problem in problems:
        found.setdefault(problem.field, []).append(problem.message)
    return {field: tuple(messages) for field, messages in found.items()}


def _page(
    request: HttpRequest,
    start: Start,
    *,
    problems: Sequence[Problem] | None = None,
    warnings: Sequence[str] = (),
    is_fresh: bool = False,
    status: int = 200,
) -> HttpResponse:
    data = start.data
    previewed = _previewed(data, problems)
    draft = start.draft or _draft(request, request.POST.get("draft", ""))
    context = previewed | {
        "form": page(data, () if is_fresh else previewed["problems"]),
        "toml_text": data.get("toml", ""),
        "is_refused": problems is not None,
        "is_fresh": is_fresh,
        "warnings": warnings,
        "notes": start.notes,
        "draft": draft,
        "chosen_preset": start.preset,
        "no_probe": "no_probe" in data,
        "presets": presets(),
        "drafts": LaunchDraft.objects.filter(user=request.user.pk).defer("form")[:20],
        "recent": _recent(),
    }
    return render(request, "dashboard/launch/form.html", context, status=status)


def _recent() -> list[Experiment]:
    """Returns the newest experiments that were launched here, which can be duplicated."""
    found = Experiment.objects.listed().filter(sources=[]).order_by("-created_at", "-id")
    return list(found.only("slug", "name", "created_at")[:_RECENT])
