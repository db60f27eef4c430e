"""The frame in a real browser: the palette by keys alone, the drawer of a phone, cards instead of scrolling."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from ..factories.traces import make_experiment, play_all
from .test_accessibility import AXE, RUN

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def open_page(browser, live_server):
    client = Client()
    client.force_login(User.objects.create_user("ada"))
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    contexts = []

    def opened(address, *, width=1280, bypass_csp=False):
        context = browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=bypass_csp)
        contexts.append(context)
        cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}
        context.add_cookies([cookie])
        page = context.new_page()
        page.goto(live_server.url + address)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def experiment(db):
    found = make_experiment(name="Oolong subsets")
    play_all(found)
    return found


def test_the_palette_works_by_keys_alone(open_page, experiment):
    page = open_page("/rollouts/")
    refused = []
    page.on(
        "console", lambda message: refused.append(message.text) if "Content Security" in message.text else None
    )
    page.keyboard.press("Control+k")
    page.wait_for_selector("#palette [role=option]")
    page.keyboard.type("oolong subsets")
    page.wait_for_function("document.querySelectorAll('#palette [aria-selected=true] .name').length === 1")
    page.wait_for_function(
        "document.querySelector('#palette [aria-selected=true] .name').textContent === 'Oolong subsets'"
    )
    assert page.evaluate("document.activeElement.getAttribute('aria-activedescendant')")
    assert "result" in page.text_content("#palette [role=status]")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{experiment.get_absolute_url()}")
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('palette').open")
    page.keyboard.type("gr")
    page.wait_for_url("**/rollouts/")
    assert refused == []


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_in_the_palette(open_page, experiment, width):
    page = open_page("/", width=width, bypass_csp=True)
    page.keyboard.press("Control+k")
    page.wait_for_selector("#palette [role=option]")
    page.evaluate(AXE)
    assert [rule["id"] for rule in page.evaluate(RUN) if rule["impact"] in ("serious", "critical")] == []


def test_on_a_phone_the_navigation_is_a_drawer_and_lists_are_cards(open_page, experiment):
    for address in ("/experiments/", "/rollouts/", experiment.get_absolute_url()):
        page = open_page(address, width=390)
        boxes = "[...document.querySelectorAll('.scroll:has(> .cards)')]"
        wide = page.evaluate(f"{boxes}.filter((box) => box.scrollWidth > box.clientWidth + 1).length")
        assert wide == 0, address
    assert not page.is_visible("#side")
    page.click("[data-nav-open]")
    assert page.is_visible("#side")
    page.keyboard.press("Escape")
    assert not page.is_visible("#side")
    assert page.evaluate("document.activeElement.hasAttribute('data-nav-open')")


SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


def test_all_figures_are_drawn_as_they_come_into_view_and_nothing_moves(open_page, experiment):
    page = open_page("/login/")
    page.add_init_script(SHIFTS)
    address = experiment.get_absolute_url()
    page.goto(page.evaluate("location.origin") + f"{address}figures/")
    cards = page.locator(".figure-card")
    for number in range(cards.count()):
        card = cards.nth(number)
        card.scroll_into_view_if_needed()
        card.locator(".main-svg").first.wait_for()
    assert cards.count() > 5
    assert page.locator(".waiting").count() == 0
    assert page.evaluate("window.shift") < 0.05
    card = cards.filter(has_text="Tokens").first
    card.locator(".drawing").click()
    page.wait_for_url(f"**{address}figures/**")
    assert page.locator("#figure-rows").count() == 1


def test_paper_is_light_and_has_no_controls(open_page, experiment):
    page = open_page(experiment.get_absolute_url())
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.is_visible(".tabs")
    assert not page.is_visible(".actions")
    assert page.is_visible("table.verdicts")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
