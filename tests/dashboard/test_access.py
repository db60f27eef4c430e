"""Pages need a login, except those listed here."""

import re
from urllib.parse import urlencode

import pytest
from django.urls import get_resolver, reverse

from rlm_runs.models import Execution, Trajectory, Turn

OPEN = {"login", "logout", "healthz", "readyz", "metrics", "scaffold-stylesheet"}
FIGURES = {"figure", "figure-live", "figure-small", "figure-csv", "figure-json"}
COMPARISONS = {"compare", "compare-prompts", "compare-matrix-csv", "compare-measures-csv", "compare-json"}
SENT_TO = {
    "experiment-cancel",
    "circuit-close",
    "experiment-pause",
    "experiment-resume",
    "share",
    "shared-link-revoke",
    "view-save",
    "view-delete",
    "model-probe",
    "fork-continue",
    "api-fork-continue",
    "launch-file",
    "launch-probe",
    "launch-draft-save",
    "launch-draft-delete",
    "rollouts-selected",
}


TAKE_BOTH = {
    *("rollout-notes", "review"),
    *("launch", "launch-preview", "experiment-action", "api-experiment-control", "fork", "api-rollout-forks"),
}


def addresses(experiment):
    rollout = experiment.rollouts().filter(sub_calls__gt=0).first()
    execution = Execution.objects.filter(turn__trajectory__rollout=rollout, children__isnull=False).first()
    turn = Turn.objects.filter(trajectory__rollout=rollout).first()
    slug, pk = [experiment.slug], [rollout.pk]
    arms = urlencode({"arm": experiment.arms.values_list("pk", flat=True)}, doseq=True)
    beside = experiment.rollouts().filter(example=rollout.example).exclude(pk=rollout.pk).first()
    return {
        "home": reverse("home"),
        "home-live": reverse("home-live"),
        "api-home": reverse("api-home"),
        "palette": reverse("palette"),
        "experiments": reverse("experiments"),
        "launch": reverse("launch"),
        "launch-spec": reverse("launch-spec"),
        "launch-preview": reverse("launch-preview"),
        "launch-file": reverse("launch-file"),
        "launch-probe": reverse("launch-probe"),
        "launch-draft-save": reverse("launch-draft-save"),
        "launch-draft-delete": reverse("launch-draft-delete", args=[1]),
        "experiment": reverse("experiment", args=slug),
        "experiment-live": reverse("experiment-live", args=slug),
        "experiment-arms": reverse("experiment-arms", args=slug),
        "experiment-arms-live": reverse("experiment-arms-live", args=slug),
        "experiment-settings": reverse("experiment-settings", args=slug),
        "api-experiment-settings": reverse("api-experiment-settings", args=slug),
        "figures": reverse("figures", args=slug),
        "figures-live": reverse("figures-live", args=slug),
        "experiment-cancel": reverse("experiment-cancel", args=slug),
        "experiment-pause": reverse("experiment-pause", args=slug),
        "experiment-resume": reverse("experiment-resume", args=slug),
        "experiment-control": reverse("experiment-control", args=slug),
        "experiment-action": reverse("experiment-action", args=[*slug, "retry"]),
        "api-experiment-control": reverse("api-experiment-control", args=slug),
        "experiment-log": reverse("experiment-log", args=slug),
        "api-experiment-log": reverse("api-experiment-log", args=slug),
        "behaviour": reverse("behaviour", args=slug),
        "behaviour-csv": reverse("behaviour-csv", args=slug),
        "behaviour-json": reverse("behaviour-json", args=slug),
        "example-types": reverse("example-types", args=slug),
        "example-types-csv": reverse("example-types-csv", args=slug),
        "example-types-json": reverse("example-types-json", args=slug),
        **{name: reverse(name, args=[*slug, "reward"]) for name in FIGURES},
        **{name: f"{reverse(name)}?{arms}" for name in COMPARISONS},
        **{
            name: f"{reverse(name)}?a={rollout.pk}&b={beside.pk}"
            for name in ("compare-rollouts", "compare-rollouts-json")
        },
        "rollout-multiples": f"{reverse('rollout-multiples')}?rollout={rollout.pk}&rollout={beside.pk}",
        "experiment-rollouts": reverse("experiment-rollouts", args=slug),
        "rollouts": reverse("rollouts"),
        "rollout-filters": reverse("rollout-filters"),
        "rollout-preview": reverse("rollout-preview", args=pk),
        "rollouts-selected": reverse("rollouts-selected"),
        "share": reverse("share"),
        "shared-links": reverse("shared-links"),
        "shared-link-revoke": reverse("shared-link-revoke", args=[1]),
        "rollout": reverse("rollout", args=pk),
        "rollout-live": reverse("rollout-live", args=pk),
        **{
            name: reverse(name, args=pk)
            for name in (
                *("rollout-timeline", "rollout-flame", "rollout-context", "rollout-answer"),
                *("rollout-variables", "rollout-input", "rollout-diagnosis", "rollout-spans"),
                "rollout-search",
                "rollout-standalone",
            )
        },
        "rollout-inspector": reverse("rollout-inspector", args=[*pk, 1]),
        "rollout-notes": reverse("rollout-notes", args=pk),
        "review": reverse("review"),
        "api-reviews": reverse("api-reviews"),
        "fork": reverse("fork", args=pk),
        "fork-continue": reverse("fork-continue", args=pk),
        "api-rollout-forks": reverse("api-rollout-forks", args=pk),
        "api-fork-continue": reverse("api-fork-continue", args=pk),
        "rollout-now": reverse("rollout-now", args=pk),
        "call": reverse("call", args=[*pk, Trajectory.objects.filter(rollout=rollout, kind="sub").first().pk]),
        "batch": reverse("batch", args=[*pk, execution.pk, 0]),
        "prompt": reverse("prompt", args=[*pk, turn.pk]),
        "text": reverse("text", args=[*pk, "turn", turn.pk, "content"]),
        "experiments-csv": reverse("experiments-csv"),
        "rollouts-csv": reverse("rollouts-csv"),
        "experiment-rollouts-csv": reverse("experiment-rollouts-csv", args=slug),
        "models": reverse("models"),
        "models-live": reverse("models-live"),
        "model-probe": reverse("model-probe"),
        "api-models": reverse("api-models"),
        "workers": reverse("workers"),
        "circuit-close": reverse("circuit-close"),
        "workers-live": reverse("workers-live"),
        "api-workers": reverse("api-workers"),
        "api-experiments": reverse("api-experiments"),
        "api-experiment": reverse("api-experiment", args=slug),
        "api-experiment-rollouts": reverse("api-experiment-rollouts", args=slug),
        "api-rollouts": reverse("api-rollouts"),
        "api-rollout": reverse("api-rollout", args=pk),
        "filter-completions": reverse("filter-completions"),
        "view-save": reverse("view-save"),
        "view-delete": reverse("view-delete", args=[1]),
    }


def test_every_page_asks_for_a_login(client, played):
    found = addresses(played)
    named = {name for name in get_resolver("dashboard.urls").reverse_dict if isinstance(name, str)}
    assert found.keys() | OPEN == named
    for address in found.values():
        for method in (client.get, client.post):
            response = method(address)
            assert response.status_code == 302
            assert response.url.startswith("/login/?next=")


def test_every_page_opens_with_one(reader, played):
    for name, address in addresses(played).items():
        if name not in SENT_TO:
            assert reader.get(address).status_code == 200, name


def test_reading_pages_take_no_post(reader, played):
    for name, address in addresses(played).items():
        if name not in SENT_TO | TAKE_BOTH:
            assert reader.post(address).status_code == 405, name


def test_logging_in_and_out(client, django_user_model):
    django_user_model.objects.create_user("grace", password="hopper-1906")
    page = client.get("/login/?next=/rollouts/")
    assert page.status_code == 200
    wrong = client.post("/login/", {"username": "grace", "password": "x", "next": "/rollouts/"})
    assert "do not go together" in wrong.content.decode()
    right = client.post("/login/", {"username": "grace", "password": "hopper-1906", "next": "/rollouts/"})
    assert right.url == "/rollouts/"
    assert client.post("/logout/").url == "/login/"
    assert client.get("/rollouts/").status_code == 302


def test_logging_in_goes_nowhere_else(client, django_user_model):
    django_user_model.objects.create_user("grace", password="hopper-1906")
    data = {"username": "grace", "password": "hopper-1906", "next": "https://example.org/"}
    assert client.post("/login/", data).url == "/"


@pytest.mark.django_db
def test_the_health_check_is_open(client, django_assert_num_queries):
    with django_assert_num_queries(1):
        response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")


def test_what_is_not_there_is_said_in_style(reader):
    for address in ("/nothing/", "/experiments/nothing/", "/rollouts/999999/", "/rollouts/99999999999999999999/"):
        response = reader.get(address)
        assert response.status_code == 404
        assert "All experiments" in response.content.decode()


def test_a_text_opens_only_in_its_own_rollout(reader, played):
    first, second = played.rollouts().filter(sub_calls__gt=0)[:2]
    turn = Turn.objects.filter(trajectory__rollout=first).first()
    sub = Trajectory.objects.filter(rollout=first, kind="sub").first()
    for other in (
        reverse("text", args=[second.pk, "turn", turn.pk, "content"]),
        reverse("text", args=[second.pk, "rollout", first.pk, "answer"]),
        reverse("text", args=[second.pk, "opening", sub.pk, "0"]),
        reverse("prompt", args=[second.pk, turn.pk]),
        reverse("call", args=[second.pk, sub.pk]),
        reverse("text", args=[first.pk, "turn", turn.pk, "trajectory"]),
        reverse("text", args=[first.pk, "nothing", turn.pk, "content"]),
        reverse("text", args=[first.pk, "opening", sub.pk, "9"]),
    ):
        assert reader.get(other).status_code == 404, other


def test_a_policy_keeps_foreign_scripts_out(reader, settings):
    middleware = "dashboard.middleware.content_security_policy"
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != middleware] + [middleware]
    response = reader.get("/")
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    page = response.content.decode()
    assert not re.findall(r"<script(?![^>]* src=)(?![^>]*application/json)", page)
    assert not re.findall(r"\son[a-z]+=", page)
