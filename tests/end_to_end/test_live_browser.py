"""The page of a running rollout in a browser: its text grows, its cell's output grows, and nothing else moves."""

from __future__ import annotations

import json
import threading

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from tests.end_to_end.test_browser import keep, page  # noqa: F401
from tests.end_to_end.test_live import STREAMED, launch, models
from tests.scripted_server import ScriptedServer, Streamed, cell, event

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def patient():
    """The worker and the web server start while the page waits."""
    expect.set_options(timeout=60_000)
    yield
    expect.set_options(timeout=5_000)


CODE = """chunks = ["..."] * 400
print(len(chunks), "chunks", flush=True)
import time
for number in range(400):
    print("chunk", number, "read", flush=True)
    time.sleep(0.1)
"""


def test_text_and_output_grow_on_the_page(make_system, free_port, page, request):  # noqa: F811
    goes_on = [threading.Event() for _ in range(3)]
    request.addfinalizer(lambda: [event.set() for event in goes_on])
    arguments = json.dumps({"code": CODE})

    def second():
        yield event({"reasoning": "The text has sections, and each may hold a label. "})
        yield event({"reasoning": "I count them first, then I ask sub-LLMs in one batch."})
        goes_on[0].wait(120)
        yield event({"content": "First I look at how the text is built."})
        call = {"id": "c1", "type": "function", "function": {"name": "call_python_repl", "arguments": ""}}
        yield event({"tool_calls": [{"index": 0, **call}]})
        yield event({"tool_calls": [{"index": 0, "function": {"arguments": arguments[:60]}}]})
        goes_on[1].wait(120)
        yield event({"tool_calls": [{"index": 0, "function": {"arguments": arguments[60:]}}]})
        yield event({}, finish="tool_calls", usage={"prompt_tokens": 100, "completion_tokens": 60})

    answers = [cell("print('looking')"), Streamed(second())]
    User.objects.create_user("ada", password="correct horse battery")
    with ScriptedServer(lambda _: answers.pop(0)) as server:
        system = make_system(**models(server))
        system.start_web(free_port)
        system.wait_for(lambda: "Listening at" in system.log("web"))
        site = f"http://127.0.0.1:{free_port}"
        experiment = launch(system, STREAMED)
        rollout = experiment.rollouts().get()
        page.goto(f"{site}{rollout.get_absolute_url()}")
        page.get_by_label("User name").fill("ada")
        page.get_by_label("Password").fill("correct horse battery")
        page.keyboard.press("Enter")
        expect(page.get_by_text("The rollout waits for a worker")).to_be_visible()
        system.start_worker()
        now = page.locator("#now")
        expect(now).to_contain_text("then I ask sub-LLMs in one batch.")
        expect(now.get_by_role("heading")).to_have_text("Turn 2")
        expect(page.locator("#turn-1")).to_contain_text("looking")
        keep(page, "live-reasoning")
        goes_on[0].set()
        expect(now).to_contain_text("First I look at how the text is built.")
        expect(now.locator("pre")).to_contain_text('chunks = ["..."]')
        keep(page, "live-code")
        goes_on[1].set()
        expect(page.locator("#turn-2")).to_contain_text("tok/s")
        expect(now.get_by_role("heading")).to_have_text("Cell")
        expect(now.locator("pre")).to_contain_text("chunk 9 read")
        now.scroll_into_view_if_needed()
        keep(page, "live-cell")
