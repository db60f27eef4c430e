"""Accessibility in a real browser: axe finds nothing serious, and no page scrolls sideways."""

from __future__ import annotations

from importlib.resources import files
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from rlm_runs.models import Rollout

from ..factories.traces import make_experiment, play_all

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
RUN = "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations"


def addresses(experiment):
    arms = urlencode({"arm": experiment.arms.values_list("pk", flat=True)}, doseq=True)
    rollout = Rollout.objects.filter(experiment=experiment, sub_calls__gt=0).first()
    beside = Rollout.objects.filter(example=rollout.example).exclude(pk=rollout.pk).first()
    slug = [experiment.slug]
    return [
        reverse("home"),
        reverse("experiments"),
        reverse("launch"),
        f"{reverse('launch')}?preset=math-time-limits&generated",
        reverse("experiment", args=slug),
        *(reverse("figure", args=[*slug, name]) for name in ("reward", "tokens", "reward-tokens", "summary")),
        *(reverse(name, args=slug) for name in ("figures", "experiment-arms", "experiment-settings")),
        reverse("behaviour", args=slug),
        reverse("example-types", args=slug),
        f"{reverse('compare')}?{arms}",
        f"{reverse('compare-rollouts')}?a={rollout.pk}&b={beside.pk}",
        reverse("rollouts"),
        f"{reverse('rollouts')}?q=env%3Averbatim-copy&pane=1",
        f"{reverse('rollouts')}?q=env%3Aoolong+nosuch%3A1",
        rollout.get_absolute_url(),
        reverse("shared-links"),
        reverse("models"),
    ]


@pytest.fixture
def experiment(db):
    found = make_experiment()
    play_all(found)
    return found


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_serious_and_no_page_scrolls_sideways(browser, live_server, experiment, scheme, width):
    client = Client()
    client.force_login(User.objects.create_user("ada"))
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page = context.new_page()
    found = []
    for address in addresses(experiment):
        page.goto(live_server.url + address)
        page.wait_for_load_state("networkidle")
        page.evaluate(AXE)
        found += [
            (address, rule["id"], rule["nodes"][0]["html"][:200])
            for rule in page.evaluate(RUN)
            if rule["impact"] in ("serious", "critical")
        ]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append((address, "scrolls sideways", ""))
    context.close()
    assert found == []
