"""The journey of a user in a real browser: log in, launch from the form, watch it run, read the output of a cell.

Screenshots of each stop, light and dark, wide and narrow, are left in var/screenshots.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from rlm_runs.models import Experiment, Rollout

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).resolve().parents[2] / "var/screenshots"


@pytest.fixture
def page(browser):
    """A page that fails the test on script errors."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(20_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    # A refused form comes back with status 422, of which the browser tells, too.
    assert [error for error in errors if "status of 422" not in error] == []


@pytest.fixture
def site(make_system, free_port):
    """A system with a worker and a web server, and its address."""
    User.objects.create_user("ada", password="correct horse battery")
    system = make_system()
    system.start_worker(concurrency=2)
    system.start_web(free_port)
    system.wait_for(lambda: "Listening at" in system.log("web"))
    return f"http://127.0.0.1:{free_port}"


def keep(page, name):
    """Takes screenshots in both themes and widths."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        for width in (1280, 390):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            assert_fits(page, name)
            page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}-{width}.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})


def assert_fits(page, name):
    """No page scrolls sideways. A figure follows the window's width with a delay."""
    for _ in range(100):
        if page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{name} scrolls sideways at {page.viewport_size['width']} px")


def log_in(page, site):
    page.goto(f"{site}/launch/")
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_text("do not go together")).to_be_visible()
    keep(page, "login-refused")
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site}/launch/")


def test_from_login_to_the_output_of_a_cell(page, site):
    log_in(page, site)

    page.get_by_label("Name").fill("does it run?")
    page.locator("[name=examples]").fill("0")
    page.get_by_label("Oolong").check()
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_text("must be a whole number from 1 to 100,000, not 0").first).to_be_visible()
    expect(page.get_by_label("Oolong")).to_be_checked()
    assert not Experiment.objects.exists()
    keep(page, "launch-refused")

    page.locator("[name=examples]").fill("2")
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_role("heading", name="does it run?")).to_be_visible()
    keep(page, "experiment-running")

    # The page follows the experiment to its end without being loaded again.
    page.evaluate("window.sameDocument = true")
    expect(page.get_by_text("6 / 6 rollouts")).to_be_visible(timeout=90_000)
    assert page.evaluate("window.sameDocument")
    page.reload()
    expect(page.locator(".js-plotly-plot .bars .point").first).to_be_visible()
    keep(page, "experiment")

    # A figure as a file is whole: its title, what its colours stand for, its bars and its caption.
    page.get_by_role("link", name="Tokens", exact=True).click()
    expect(page.locator(".js-plotly-plot .bars .point").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="SVG").click()
    svg = download.value.path().read_text()
    for words in ("<svg", "completion</text>", "RLM+tips", "sub-LLM prompt tokens", "Bars are means"):
        assert words in svg, words
    page.go_back()

    page.get_by_role("link", name="Arms", exact=True).click()
    page.get_by_role("link", name="RLM+tips").first.click()
    expect(page).to_have_url(re.compile("q=arm"))
    keep(page, "rollouts")
    rollout = Rollout.objects.filter(arm__scaffold="rlm_tips").order_by("id").first()
    page.get_by_role("link", name=str(rollout.pk), exact=True).click()
    expect(page.get_by_text("In[1]").first).to_be_visible()
    expect(page.get_by_text("[Execution time:").first).to_be_visible()
    keep(page, "rollout")
    for turn in ("#turn-1", "#turn-2"):
        page.keyboard.press("j")
        expect(page).to_have_url(re.compile(f"{turn}$"))
    page.keyboard.press("k")
    expect(page).to_have_url(re.compile("#turn-1$"))
    assert rollout.sub_calls > 0
    page.locator(".call > summary").first.click()
    page.get_by_role("link", name="this call on a page of its own").first.click()
    expect(page.get_by_text("sub-LLM").first).to_be_visible()
    keep(page, "sub-call")


def test_pages_without_anything_say_what_to_do(page, site):
    log_in(page, site)
    page.goto(site)
    expect(page.get_by_text("make demo").first).to_be_visible()
    keep(page, "experiments-empty")
    page.goto(f"{site}/rollouts/")
    expect(page.get_by_text("No rollout yet")).to_be_visible()
