"""The liveness and readiness of the web server, and the metrics of the store."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.exposition import choose_encoder

from rlm_runs.observability.metrics_access import may_read_metrics
from rlm_runs.observability.readiness import readiness
from rlm_runs.observability.store_metrics import REGISTRY


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Returns 200 if the process and the database respond, else 503."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return HttpResponse("the database does not answer", status=503, content_type="text/plain")
    return HttpResponse("ok", content_type="text/plain")


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Returns 200 if requests can be served (migrations applied, database writable), else 503 with the reasons."""
    found = readiness()
    body = {"ready": found.is_ready, "checks": found.checks}
    return JsonResponse(body, status=200 if found.is_ready else 503)


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Returns the store's metrics in a format that the client accepts; 403 without the token, 503 without a
    database.
    """
    allowed = may_read_metrics(
        authorization=request.headers.get("Authorization", ""),
        peer=request.META.get("REMOTE_ADDR", ""),
        is_forwarded="X-Forwarded-For" in request.headers or "Forwarded" in request.headers,
        token=settings.RLM_METRICS_TOKEN,
    )
    if not allowed:
        message = "metrics need RLM_METRICS_TOKEN, or a client on this machine\n"
        return HttpResponse(message, status=403, content_type="text/plain")
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    try:
        return HttpResponse(encode(REGISTRY), content_type=content_type)
    except Error:
        return HttpResponse("the database does not answer in time\n", status=503, content_type="text/plain")
