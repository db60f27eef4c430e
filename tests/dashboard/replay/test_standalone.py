"""The file of a rollout: whole, within its bounds, inert, and read without a network."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.transcripts import Bounds
from rlm_runs.models import SharedLink
from tests.end_to_end.conftest import browser  # noqa: F401
from tests.factories.traces import HOSTILE, Story, play_hostile, play_llm, play_rlm, play_second_attempt


@pytest.fixture
def rollout(queued):
    return queued.rollouts().select_related("arm", "example").filter(arm__scaffold="rlm").order_by("pk")[1]


def file_of(reader, rollout, query=""):
    response = reader.get(reverse("rollout-standalone", args=[rollout.pk]) + query)
    assert response.status_code == 200
    assert response.headers["Content-Disposition"] == f'attachment; filename="rollout-{rollout.pk}.html"'
    return b"".join(response).decode()


def test_the_whole_trace_is_in_the_file(reader, rollout):
    play_rlm(rollout)
    page = file_of(reader, rollout)
    for words in (
        *("In[1]", "Out[1]", "NameError", "batch: 6 calls", "spam: 3, ham: 64", "ready ✓", 'id="turn-6"'),
        *("All that was written", "message 899", "Label each line:", "simulated model"),
    ):
        assert words in page, words
    assert page.count("<template id=") == 6
    assert "are cut" not in page


def test_the_file_loads_nothing_and_its_policy_names_what_it_has(reader, rollout):
    play_hostile(rollout)
    page = file_of(reader, rollout)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#x27;", "'")
    assert policy.startswith("default-src 'none'; ")
    for element in ("script", "style"):
        [content] = re.findall(rf"<{element}>(.*?)</{element}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    addresses = re.findall(r'\s(?:src|href|action|formaction|srcset|data|poster)="(?!#)([^"]*)"', page)
    assert addresses == ["data:,"]
    assert not re.search(r"\son[a-z]+=|\shx-|\sstyle=|url\(|@import", page.split("<body")[1].split("<script>")[0])
    assert page.count("<script") == 1
    assert HOSTILE[:20] not in page
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_texts_beyond_the_bounds_are_cut_and_say_so(rollout):
    play_rlm(rollout)
    whole = transcripts.read_whole(rollout, attempt=1, bounds=Bounds(longest=500, total=100_000))
    assert whole.cap == 500
    assert whole.cut == 2  # the long output, and what the model was shown of it
    tight = transcripts.read_whole(rollout, attempt=1, bounds=Bounds(total=2_000))
    kept = [message.text.text for call in (tight.root, *tight.calls) for message in call.opening]
    assert tight.cap < 500
    assert tight.cut > 2
    assert all(len(text) <= tight.cap for text in kept)


def test_a_cut_is_said_where_it_is(rollout, tmp_path):
    play_rlm(rollout)
    path = tmp_path / "small.html"
    call_command("export_replay", str(rollout.pk), output=path, longest=500)
    page = path.read_text()
    assert "2 texts are cut to 500 characters" in page
    assert re.search(r"cut: 500 of 3\d,\d{3} characters are in this file", page)


def test_the_command_says_what_there_is_not(rollout, tmp_path):
    play_llm(rollout)
    for arguments, reason in (
        (["999999"], "there is no rollout 999999"),
        ([str(rollout.pk), "--attempt", "2"], "has no attempt 2"),
        ([str(rollout.pk), "--output", str(tmp_path / "none" / "x.html")], "cannot be written"),
        ([str(rollout.pk), "--longest", "0"], "at least 1"),
    ):
        with pytest.raises(CommandError, match=reason):
            call_command("export_replay", *arguments)


def test_the_number_of_queries_does_not_grow(rollout, django_assert_max_num_queries):
    story = Story(rollout)
    root = story.root()
    for _ in range(3):
        turn = story.turn(root, "a batch", finish_reason="tool_calls")
        cell = story.start_cell(root, turn, "llm_batch(prompts)")
        for position in range(20):
            story.sub(cell, position=position)
        story.end_cell(cell, "done")
    story.end(root, reward=1.0, answer="x")
    with django_assert_max_num_queries(6):
        found = transcripts.read_whole(rollout, attempt=1)
    assert len(found.calls) == 60


def test_an_earlier_attempt_has_a_file_of_its_own(reader, rollout):
    play_second_attempt(rollout)
    rollout.refresh_from_db()
    response = reader.get(reverse("rollout-standalone", args=[rollout.pk]) + "?attempt=1")
    assert "-attempt-1.html" in response.headers["Content-Disposition"]
    assert "Attempt 1 of 2" in b"".join(response).decode()
    assert reader.get(reverse("rollout-standalone", args=[rollout.pk]) + "?attempt=9").status_code == 400


def test_only_those_who_may_see_the_rollout_get_the_file(client, rollout):
    other = rollout.experiment.rollouts().exclude(pk=rollout.pk).first()
    play_llm(rollout)
    address = reverse("rollout-standalone", args=[rollout.pk])
    assert client.get(address).status_code == 302
    link = SharedLink.objects.create(
        kind="rollout", path=rollout.get_absolute_url(), rollout=rollout, experiment=rollout.experiment
    )
    assert client.get(f"/s/{link.token}{address}").status_code == 200
    assert client.get(f"/s/{link.token}{reverse('rollout-standalone', args=[other.pk])}").status_code == 404


def test_the_page_links_to_it(reader, rollout):
    play_llm(rollout)
    page = reader.get(rollout.get_absolute_url()).content.decode()
    assert f'href="{reverse("rollout-standalone", args=[rollout.pk])}?attempt=1"' in page


@pytest.fixture
def opened(browser, tmp_path, request):  # noqa: F811
    """Opens a file without a network. Fails on any request but the file's own, and on errors of the page."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_offline(True)
    page = context.new_page()
    requests, errors = [], []
    page.on("request", lambda asked: requests.append(asked.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: errors.append(dialog.message))

    def open_file(rollout, fragment=""):
        path = tmp_path / "replay.html"
        call_command("export_replay", str(rollout.pk), output=path, verbosity=0)
        page.goto(f"{path.as_uri()}{fragment}")
        return page

    yield open_file
    assert errors == []
    assert len(requests) >= 1
    assert [url for url in requests if not url.startswith("file://") or "replay.html" not in url] == []
    context.close()


@pytest.mark.browser
def test_it_replays_without_a_network(opened, rollout):
    play_rlm(rollout)
    page = opened(rollout)
    focused = "document.activeElement.id || document.activeElement.closest('[data-call]')?.dataset.call"
    for key, stop in (("j", "turn-1"), ("j", "turn-2"), ("k", "turn-1")):
        page.keyboard.press(key)
        assert page.evaluate(focused) == stop
    page.keyboard.press("Shift+J")
    first = page.evaluate(focused)
    assert page.locator(f"#call-{first}-turn-1").is_visible()
    page.keyboard.press("Shift+J")
    second = page.evaluate(focused)
    assert second != first
    assert not page.locator(f"#call-{first}-turn-1").is_visible()
    page.keyboard.press("Shift+K")
    assert page.evaluate(focused) == first
    page.keyboard.press("j")
    assert page.evaluate(focused) == "turn-5"
    page.keyboard.press("/")
    page.keyboard.type("chunk 3")
    page.keyboard.press("Enter")
    page.locator("[data-found]", has_text="1 of").wait_for()
    assert page.locator("pre", has_text="chunk 3").first.is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()


@pytest.mark.browser
def test_a_moment_of_a_sub_call_has_an_address(opened, rollout):
    play_rlm(rollout)
    call = rollout.trajectories.filter(kind="sub").order_by("pk")[2]
    page = opened(rollout, f"#call-{call.pk}-turn-1")
    assert page.locator(f"#call-{call.pk}-turn-1").is_visible()


@pytest.mark.browser
def test_hostile_text_stays_text(opened, rollout):
    play_hostile(rollout)
    page = opened(rollout)
    page.keyboard.press("Shift+J")
    assert page.locator("script").count() == 1
    assert page.locator("main b, main script, main svg").count() == 0
    assert page.get_by_text('<script>alert("x")</script>').first.is_visible()
