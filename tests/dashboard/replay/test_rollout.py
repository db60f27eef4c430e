"""The replay of a rollout: its whole trace, hostile text escaped, within the size limit."""

import re

import pytest
from django.urls import reverse

from rlm_runs.engine.events import FailedTry, Usage
from rlm_runs.models import Execution, Rollout, Trajectory, Turn
from tests.factories.traces import (
    HOSTILE,
    Story,
    make_experiment,
    play_failed,
    play_hostile,
    play_llm,
    play_rlm,
    play_running,
    play_second_attempt,
    play_too_long,
)

LIMIT = 256_000


@pytest.fixture
def rollout(queued):
    return queued.rollouts().select_related("arm", "example").filter(arm__scaffold="rlm").order_by("pk")[1]


def html(reader, address, **headers):
    response = reader.get(address, headers=headers)
    assert response.status_code == 200, address
    return response.content.decode()


def page_of(reader, rollout, query=""):
    return html(reader, rollout.get_absolute_url() + query)


def test_the_whole_trace_is_there(reader, rollout):
    play_rlm(rollout)
    page = page_of(reader, rollout)
    for words in (
        "In[1]",
        "Out[1]",
        "NameError",
        "cut for the model",
        "shown 8,192 of 34,089 chars",
        "batch: 6 calls",
        "1 ⚠",
        "spam: 3, ham: 64",
        "429 Too Many Requests",
        "The host replied",
        "ready ✓",
        "answer_ready",
        "simulated model",
        "process sandbox: no walls",
        'id="turn-6"',
        'href="#turn-6"',
    ):
        assert words in page, words


def test_a_failure_says_whose_it_was(reader, rollout):
    play_failed(rollout)
    page = page_of(reader, rollout)
    assert "The model endpoint failed" in page
    assert "503 Service Unavailable" in page
    assert "it is not counted as zero" in page
    assert "5 retries" in page


def test_too_long_is_its_own_state(reader, rollout):
    play_too_long(rollout)
    page = page_of(reader, rollout)
    assert "The API refused the prompt as too long" in page
    assert "maximum context length is 16000 tokens" in page
    assert "too long</span>" in page


def test_hostile_text_is_shown_and_never_runs(reader, rollout):
    play_hostile(rollout)
    turn = Turn.objects.filter(trajectory__rollout=rollout, trajectory__kind="root").first()
    sub = Trajectory.objects.filter(rollout=rollout, kind="sub").first()
    execution = Execution.objects.filter(turn=turn).first()
    pages = [
        rollout.get_absolute_url(),
        reverse("rollout-live", args=[rollout.pk]) + "?attempt=1&turns=1",
        reverse("call", args=[rollout.pk, sub.pk]),
        reverse("prompt", args=[rollout.pk, turn.pk]),
        *(reverse("text", args=[rollout.pk, "execution", execution.pk, part]) for part in ("arguments", "output")),
        f"/rollouts/?q={rollout.pk}",
    ]
    for address in pages:
        page = html(reader, address)
        assert "<script>alert" not in page
        assert "\x00" not in page
        assert "\u202e" not in page
    assert "␀" in page_of(reader, rollout)
    assert "⟨U+D800⟩" in page_of(reader, rollout)


def test_no_page_is_larger_than_it_may_be(reader, rollout):
    play_hostile(rollout, turns=40)
    assert len(page_of(reader, rollout).encode()) < LIMIT
    assert len(page_of(reader, rollout, "?from=20").encode()) < LIMIT
    output = Execution.objects.filter(truncated=True).first()
    address = reverse("text", args=[rollout.pk, "execution", output.pk, "output"])
    assert len(html(reader, address).encode()) < LIMIT


def test_many_sub_calls_are_a_click_away(reader, rollout):
    story = Story(rollout)
    root = story.root()
    turn = story.turn(root, "a large batch")
    cell = story.start_cell(root, turn, "llm_batch(prompts)")
    for position in range(250):
        story.sub(cell, position=position, answer=HOSTILE * 3)
    page = page_of(reader, rollout)
    assert 'class="call"' not in page
    assert len(page.encode()) < LIMIT
    address = re.search(r'hx-get="([^"]+/batches/0/)"', page)[1]
    rows = html(reader, address, HX_Request="true")
    assert rows.count('class="call"') == 200
    assert "<html" not in rows
    assert html(reader, f"{address}?first=200").count('class="call"') == 50


def test_a_long_text_comes_in_pieces(reader, rollout):
    story = Story(rollout)
    root = story.root()
    text = "".join(f"{number:09d}\n" for number in range(40_000))
    key = story.cell(root, "print(text)", text, shown=text[:8192], truncated=True)
    assert key
    execution = Execution.objects.get()
    address = reverse("text", args=[rollout.pk, "execution", execution.pk, "output"])
    seen, start = "", 0
    while start is not None:
        response = reader.get(f"{address}?from={start}", headers={"HX-Request": "true"})
        seen += response.context["piece"]
        start = response.context["next"]
    assert seen == text


def test_turns_come_in_pages(reader, rollout):
    story = Story(rollout)
    root = story.root()
    for number in range(70):
        story.cell(root, f"print({number})", said=f"step {number}")
    page = page_of(reader, rollout)
    assert page.count('class="turn"') == 30
    assert 'href="?from=31#turn-31"' in page
    assert 'href="?from=70#turn-70"' in page
    assert page_of(reader, rollout, "?from=31").count('class="turn"') == 30


@pytest.mark.parametrize("query", ["?from=x", "?from=0", "?attempt=9", "?attempt=-1", "?from=99999999999999"])
def test_what_is_not_understood_is_a_bad_request(reader, rollout, query):
    play_llm(rollout)
    response = reader.get(rollout.get_absolute_url() + query)
    assert response.status_code == 400
    assert "Not understood" in response.content.decode()


def test_neighbours_along_the_arm_and_across_arms(reader, played):
    rollout = played.rollouts().get(arm__scaffold="rlm", example_position=1)
    page = page_of(reader, rollout)
    around = {
        found.example_position: found.get_absolute_url() for found in played.rollouts().filter(arm=rollout.arm)
    }
    assert f'rel="prev" href="{around[0]}"' in page
    assert f'rel="next" href="{around[2]}"' in page
    for other in played.rollouts().filter(example=rollout.example):
        assert f'class="chip" href="{other.get_absolute_url()}"' in page


def test_attempts_can_be_switched(reader, rollout):
    play_second_attempt(rollout)
    page = page_of(reader, rollout)
    assert "?attempt=1" in page
    assert "in earlier attempts" in page
    first = page_of(reader, rollout, "?attempt=1")
    assert "was cut off before it ended" in first
    assert first.count('class="turn"') == 2
    assert "cut off" in first


def test_queries_do_not_grow_with_the_trace(reader, queued, django_assert_num_queries):
    short, long = queued.rollouts().select_related("arm", "example").filter(arm__scaffold="rlm")[:2]
    play_rlm(short)
    story = Story(long)
    root = story.root()
    for number in range(25):
        story.sub(story.cell(root, f"print({number})"), prompt=str(number))
    story.end(root)
    for rollout in (short, long):
        with django_assert_num_queries(19):
            page_of(reader, rollout)


def test_a_running_one_is_followed(reader, rollout, django_assert_num_queries):
    story = play_running(rollout)
    page = page_of(reader, rollout)
    assert "1 running" in page
    address = re.search(r'id="poll" hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
    with django_assert_num_queries(7) as queries:
        assert reader.get(address).status_code == 204
    assert not [query for query in queries.captured_queries if "rlm_runs_text" in query["sql"]]
    story.cell(1, "print('more')", said="the third turn")
    fragment = html(reader, address)
    assert 'id="turn-2"' in fragment
    assert 'hx-swap-oob="beforeend:#turns"' in fragment
    assert "the third turn" in fragment
    assert 'id="turn-1"' not in fragment
    story.end(1, answer="done")
    assert "hx-trigger" not in html(reader, address).split("</div>")[0]


def test_a_page_from_before_the_first_turn_loads_again(reader, rollout):
    page = page_of(reader, rollout)
    assert "waits for a worker" in page
    address = re.search(r'id="poll" hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
    assert reader.get(address).status_code == 204
    play_running(rollout)
    assert reader.get(address).headers["HX-Refresh"] == "true"


def test_one_without_a_transcript_says_so(reader, rollout):
    Rollout.objects.filter(pk=rollout.pk).update(status="completed", stop_reason="imported", reward=1, attempt=1)
    assert "No transcript was recorded" in page_of(reader, rollout)


def test_one_that_never_ran_says_so(reader, rollout):
    Rollout.objects.filter(pk=rollout.pk).update(status="cancelled", stop_reason="cancelled")
    assert "It never ran" in page_of(reader, rollout)


def test_a_call_is_a_fragment_for_htmx_and_a_page_for_others(reader, rollout):
    play_rlm(rollout)
    sub = Trajectory.objects.filter(rollout=rollout, kind="sub").first()
    address = reverse("call", args=[rollout.pk, sub.pk])
    fragment = html(reader, address, HX_Request="true")
    assert "<html" not in fragment
    assert "Returned to the REPL" in fragment
    page = html(reader, address)
    assert f'href="{rollout.get_absolute_url()}?from=4#turn-4"' in page


def test_the_judge_can_be_read(reader, rollout):
    story = Story(rollout)
    root = story.root()
    story.turn(root, "42")
    story.judge(verdict="no")
    story.end(root, reward=0.0, answer="42")
    page = page_of(reader, rollout)
    judge = Trajectory.objects.get(kind="judge")
    address = reverse("call", args=[rollout.pk, judge.pk])
    assert f'<a href="{address}">a-judge</a>' in page
    assert "Is the answer right?" in html(reader, address)


def test_the_prompt_of_a_turn_opens(reader, rollout):
    play_rlm(rollout)
    turn = Turn.objects.filter(trajectory__kind="root").order_by("-index").first()
    page = html(reader, reverse("prompt", args=[rollout.pk, turn.pk]))
    assert "Prompt of turn 6" in page
    assert "You are a Recursive Language Model" in page
    assert "━━━ 3 · assistant ━━━" in page
    exact = html(reader, reverse("prompt", args=[rollout.pk, turn.pk]) + "?as=json")
    assert "&quot;tool_call_id&quot;: &quot;call_" in exact


def test_input_data_stands_beside_the_prompt(reader, db):
    experiment = make_experiment(environments=("oolong",))
    assert "input data" in page_of(reader, experiment.rollouts().first())


def test_what_a_server_did_not_say_cut_or_refused_is_shown(reader, rollout):
    story = Story(rollout)
    root = story.root()
    tries = [
        FailedTry(at=story.at, seconds=1.5, waited=0.5, status=503, message="HTTP 503: warming <up>"),
        FailedTry(at=story.at, seconds=2.5, waited=0, status=None, message="the connection broke"),
    ]
    story.turn(root, "a", usage=Usage(prompt=2048, completion=5, sent=9000), failed_tries=tries, retries=2)
    story.turn(root, "b", usage=Usage(prompt=900, completion=5, estimated=True))
    story.end(root, reward=1.0, answer="x")
    page = page_of(reader, rollout)
    for words in (
        "prompt truncated: 2,048 of ≈ 9,000",
        "1 truncated prompt",
        "1 call estimated",
        "≈ 900",
        "2 failed tries",
        "HTTP 503: warming &lt;up&gt;",
        "the connection broke",
    ):
        assert words in page, words
    answer = reader.get(reverse("api-rollout", args=[rollout.pk])).json()
    first, second = answer["trajectories"][0]["turns"]
    assert (first["sent_tokens"], second["tokens_estimated"]) == (9000, True)
    assert [failed["status"] for failed in first["failed_tries"]] == [503, None]


def test_lists_mark_estimates(reader, rollout):
    story = Story(rollout)
    root = story.root()
    story.turn(root, "b", usage=Usage(prompt=900, completion=5, estimated=True))
    story.end(root, reward=1.0, answer="x")
    address = reverse("experiment-rollouts", args=[rollout.experiment.slug])
    page = html(reader, f"{address}?q=estimated:%3E0&columns=main,cost,estimated")
    assert "≈" in page
    experiment = html(reader, rollout.experiment.get_absolute_url())
    assert "1 estimated" in experiment
    assert "≈ $" in experiment
    assert "≈" in html(reader, f"{rollout.experiment.get_absolute_url()}arms/")
