"""Launch and lists in a real browser: problems as one types, a dropped file, preview and selection by keys."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .test_frame_browser import experiment, open_page  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SPEC = """\
name = "dropped"
examples = 5
models = ["demo-model"]
scaffolds = ["llm", { name = "rlm", max_turns = 5 }, { name = "rlm", max_turns = 9 }]
environments = ["oolong"]
"""
DROP = """(text) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([text], "spec.toml"));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""


def test_the_grid_and_the_problems_follow_the_form(open_page):  # noqa: F811
    page = open_page("/launch/")
    arms = page.locator(".totals dd").first
    page.get_by_label("Oolong").check()
    expect(arms).to_have_text("3")
    expect(page.locator(".grid tbody td")).to_have_count(3)
    page.locator("[name=examples]").fill("0")
    beside = page.locator("#problem-examples")
    expect(beside).to_have_text("must be a whole number from 1 to 100,000, not 0")
    expect(page.locator("[name=examples]")).to_have_attribute("aria-invalid", "true")
    page.locator("[name=examples]").fill("4")
    expect(beside).to_be_empty()
    expect(page.locator(".totals dd").nth(1)).to_have_text("12")
    page.evaluate(DROP, SPEC)
    expect(page.locator("[name=name]")).to_have_value("dropped")
    expect(page.locator("[name='scaffolds.rlm.max_turns']")).to_have_value("5, 9")
    expect(arms).to_have_text("3")


def test_rows_are_previewed_and_selected_by_keys(open_page, experiment):  # noqa: F811
    page = open_page("/rollouts/?pane=1")
    first, second = page.locator("tr[data-row] td.tick input").all()[:2]
    page.keyboard.press("j")
    expect(page.locator("#pane h2")).to_have_text(f"Rollout {first.get_attribute('value')}")
    page.keyboard.press("x")
    page.keyboard.press("j")
    expect(page.locator("#pane h2")).to_have_text(f"Rollout {second.get_attribute('value')}")
    page.keyboard.press("x")
    expect(page.locator("[data-selected]")).to_have_text("2 selected")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare/rollouts/**")
