"""Transcripts: complete, in a fixed number of queries, with derived prompts."""

import json

import pytest

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.transcripts import Excerpt, Window, code_of
from rlm_runs.models import Execution, Rollout, Trajectory, Turn

from ..factories.traces import HOSTILE, Story, play_hostile, play_rlm, play_running, play_second_attempt


@pytest.fixture
def rollout(queued):
    return queued.rollouts().select_related("arm", "example").filter(arm__scaffold="rlm").first()


WHOLE = Window()


def conversation_of(rollout, window=WHOLE, *, attempt=None):
    return transcripts.read(transcripts.root_of(rollout, attempt=attempt or rollout.attempt), window)


def test_the_whole_conversation(rollout):
    play_rlm(rollout)
    found = conversation_of(rollout)
    assert [turn.number for turn in found.turns] == [1, 2, 3, 4, 5, 6]
    first, wrong, cut, batch, talk, last = found.turns
    assert first.executions[0].code.text.startswith("lines = context")
    assert first.executions[0].out.text.startswith("['2024")
    assert wrong.is_troubled
    assert cut.executions[0].row.truncated
    assert [execution.number for turn in found.turns for execution in turn.executions] == [1, 2, 3, 4, 5]
    calls = batch.executions[0].batches[0].calls
    assert [call.is_ok for call in calls] == [True, True, True, True, False, True]
    assert calls[0].answer.first_line == "spam: 3, ham: 64"
    assert batch.executions[0].batches[0].troubled == 1
    assert talk.reply.text.startswith("Set answer")
    assert last.is_ready


def test_the_answer_shows_where_it_changed(rollout):
    play_rlm(rollout)
    answers = [
        execution.answer.text if execution.answer else None
        for turn in conversation_of(rollout).turns
        for execution in turn.executions
    ]
    assert answers == [None, None, None, "spam", "ham"]


def test_queries_do_not_grow_with_turns(rollout, queued, django_assert_num_queries):
    play_rlm(rollout)
    other = queued.rollouts().select_related("arm", "example").filter(arm__scaffold="rlm_tips").first()
    story = Story(other)
    root = story.root()
    for number in range(60):
        story.sub(story.cell(root, f"print({number})", "x" * number), prompt=str(number))
    story.end(root)
    for played in (rollout, other):
        trajectory = transcripts.root_of(played, attempt=1)
        with django_assert_num_queries(5):
            transcripts.read(trajectory)


def test_a_window_has_its_turns_and_the_outline_has_all(rollout):
    story = Story(rollout)
    root = story.root()
    for number in range(12):
        story.cell(root, f"print({number})", said=f"step {number}")
    story.end(root)
    found = conversation_of(rollout, Window(first=5, limit=3))
    assert ([turn.number for turn in found.turns], found.first, found.last, found.total) == ([5, 6, 7], 5, 7, 12)
    assert [entry.gist for entry in found.outline][:2] == ["step 0", "step 1"]
    assert [execution.number for turn in found.turns for execution in turn.executions] == [5, 6, 7]


def test_texts_are_cut_to_the_budget_longest_first(rollout):
    story = Story(rollout)
    root = story.root()
    story.cell(root, "short", "o" * 9_000)
    story.cell(root, "long", "p" * 7_000)
    story.end(root)
    found = conversation_of(rollout, Window(budget=8_000))
    shown = [turn.executions[0].shown for turn in found.turns]
    assert all(3_000 < len(excerpt.text) < 4_000 and excerpt.is_cut for excerpt in shown)
    assert found.turns[0].executions[0].code.text == "short"


def test_reading_a_megabyte_reads_its_beginning(rollout):
    play_hostile(rollout)
    found = conversation_of(rollout, Window(budget=10**9))
    assert all(
        len(execution.shown.text) <= transcripts.EXCERPT_CHARS
        for turn in found.turns
        for execution in turn.executions
    )


def test_an_excerpt_never_ends_in_half_an_escape(rollout):
    story = Story(rollout)
    root = story.root()
    story.turn(root, "\x00" * 5_000)
    story.end(root)
    text = conversation_of(rollout).turns[0].content.text
    assert set(text) == {"\x00"}


def test_hostile_text_comes_back_as_it_was(rollout):
    play_hostile(rollout)
    found = conversation_of(rollout)
    assert found.turns[0].content.text == HOSTILE
    assert found.turns[1].executions[0].is_malformed


def test_a_running_cell_and_its_open_calls(rollout):
    play_running(rollout)
    execution = conversation_of(rollout).turns[1].executions[0]
    assert not execution.row.finished
    assert (execution.batches[0].unfinished, execution.batches[0].seconds) == (1, None)


def test_each_attempt_has_its_own_conversation(rollout):
    play_second_attempt(rollout)
    rollout.refresh_from_db()
    assert conversation_of(rollout, attempt=1).total == 2
    assert conversation_of(rollout, attempt=2).total == 6


def test_depth_is_only_another_conversation(rollout):
    story = Story(rollout)
    root = story.root()
    trajectory = root
    for depth in range(1, 200):
        turn = story.turn(trajectory, f"depth {depth}")
        cell = story.start_cell(trajectory, turn, "llm_batch(['deeper'])")
        trajectory = story.sub(cell, finish=False, depth=depth)
    deepest = Trajectory.objects.get(depth=199)
    assert transcripts.read(deepest).total == 0
    parent = Trajectory.objects.get(depth=198)
    assert transcripts.read(parent).turns[0].executions[0].batches[0].calls[0].pk == deepest.pk


def test_the_prompt_of_a_turn_is_what_it_was_sent(rollout, django_assert_num_queries):
    play_rlm(rollout)
    turns = list(
        Turn.objects.filter(trajectory__kind="root", trajectory__rollout=rollout).select_related("trajectory")
    )
    with django_assert_num_queries(3):
        messages = transcripts.prompt_of(turns[5])
    assert [message["role"] for message in messages] == [
        *("system", "user"),
        *("assistant", "tool") * 4,
        *("assistant", "user"),
    ]
    call = messages[2]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"])["code"].startswith("lines = ")
    assert messages[3]["tool_call_id"] == call["id"]
    assert messages[3]["content"].endswith("[Execution time: 0.40s]")
    assert "tool_calls" not in messages[10]
    assert messages[11]["content"].startswith("Set answer")
    assert transcripts.prompt_of(turns[0]) == messages[:2]


def test_a_failed_call_leaves_nothing_in_later_prompts(rollout):
    story = Story(rollout)
    root = story.root()
    story.turn(root, "", error="timed out")
    story.turn(root, "hello")
    last = Turn.objects.select_related("trajectory").latest("pk")
    assert [message["role"] for message in transcripts.prompt_of(last)] == ["system", "user"]


@pytest.mark.parametrize(
    ("arguments", "code", "malformed"),
    [
        ('{"code": "x = 1\\n"}', "x = 1\n", False),
        ('{"code": 5}', '{"code": 5}', True),
        ("[1]", "[1]", True),
        ("nothing", "nothing", True),
        ("", "", True),
    ],
)
def test_code_of_arguments(arguments, code, malformed):
    found, is_malformed = code_of(Excerpt(text=arguments, chars=len(arguments)))
    assert (found.text, is_malformed) == (code, malformed)


@pytest.mark.parametrize("cut", [len('{"code": "') + extra for extra in range(20)])
def test_code_of_cut_arguments(cut):
    whole = json.dumps({"code": 'print("é\\n\u2028")\n' * 3})
    found, is_malformed = code_of(Excerpt(text=whole[:cut], chars=len(whole)))
    assert not is_malformed
    assert ('print("é\\n\u2028")\n' * 3).startswith(found.text)


def test_no_trajectory_is_no_conversation(rollout):
    assert transcripts.root_of(rollout, attempt=1) is None
    assert Rollout.objects.count()
    assert not Execution.objects.exists()
