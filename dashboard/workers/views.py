"""The Workers page, its fragment for updates, and the same as JSON."""

from __future__ import annotations

import hashlib
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from rlm_runs.execution.circuits import store
from rlm_runs.execution.code_version import code_version
from rlm_runs.models import Circuit

from ..addresses import address_of
from ..polling import if_changed
from ..tables import cells
from .overview import Overview, RunningRollout, Worker, overview


@require_safe
def workers(request: HttpRequest) -> HttpResponse:
    """Shows the worker processes and the rollouts that they run."""
    context = _context(request)
    return render(request, "dashboard/workers/page.html", context | {"section": "workers"})


@never_cache
@require_safe
def workers_live(request: HttpRequest) -> HttpResponse:
    """Returns the page's tables if they differ from `version`, else 204."""
    return if_changed(request, "dashboard/workers/live.html", _context(request))


@never_cache
@require_safe
def workers_json(request: HttpRequest) -> JsonResponse:
    """Returns the same numbers as JSON. Times are ISO 8601, ages are in seconds."""
    found = overview()
    return JsonResponse(
        {
            "at": found.at.isoformat(),
            "running": found.running,
            "workers": [_worker_json(worker, found) for worker in found.workers],
            "circuits": [_circuit_json(circuit) for circuit in store.open_circuits()],
        }
    )


@require_POST
def circuit_close(request: HttpRequest) -> HttpResponse:
    """Closes the circuit of a model, so that its arms continue."""
    store.close(request.POST.get("model", ""), actor=request.user.get_username())
    return redirect("workers")


def _circuit_json(circuit: Circuit) -> dict[str, Any]:
    return {
        "model": cells.plain(circuit.model),
        "error": cells.plain(circuit.error),
        "opened_at": circuit.opened_at and circuit.opened_at.isoformat(),
        "tries": circuit.probes,
        "next_try_at": circuit.probe_at and circuit.probe_at.isoformat(),
    }


def _context(request: HttpRequest) -> dict[str, Any]:
    found = overview()
    context = {"overview": found, "code_version": code_version(), "circuits": store.open_circuits()}
    tables = render_to_string("dashboard/workers/_tables.html", context, request=request)
    version = hashlib.sha256(tables.encode()).hexdigest()[:16]
    return context | {"tables": tables, "version": version}


def _worker_json(worker: Worker, found: Overview) -> dict[str, Any]:
    process = worker.process
    details = (
        {}
        if process is None
        else {
            "host": process.host,
            "pid": process.pid,
            "started_at": process.started_at.isoformat(),
            "last_seen_at": process.last_seen_at.isoformat(),
            "stopped_at": process.stopped_at and process.stopped_at.isoformat(),
            "capacity": process.capacity,
            "versions": process.versions,
            "sandbox_backend": process.sandbox_backend,
        }
    )
    return {
        "name": worker.name,
        "state": worker.state.value,
        **details,
        "running": worker.rollout_count,
        "rollouts": [_rollout_json(rollout, found) for rollout in worker.rollouts],
    }


def _rollout_json(rollout: RunningRollout, found: Overview) -> dict[str, Any]:
    return {
        "id": rollout.pk,
        "url": address_of("api-rollout", rollout.pk),
        "experiment": rollout.experiment_slug,
        "environment": cells.plain(rollout.environment),
        "scaffold": rollout.scaffold,
        "example": rollout.example_number,
        "attempt": rollout.attempt,
        "started_at": rollout.started_at and rollout.started_at.isoformat(),
        "seconds": rollout.age(found.at),
    }
