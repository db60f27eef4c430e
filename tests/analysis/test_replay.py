"""Spans, context window, answers and variables of an attempt, from stored rows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils.timezone import now

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.replay import answers, context_window, spans, variables
from rlm_runs.models import Execution, Trajectory, Turn
from tests.factories.traces import Story, play_llm, play_rlm

pytestmark = pytest.mark.django_db


@pytest.fixture
def story(queued):
    return Story(queued.rollouts().filter(arm__scaffold="rlm").first())


def tree_of(rollout):
    return spans.read(rollout, attempt=rollout.attempt, now=now())


class TestSpans:
    def test_the_tree_nests_and_sums_equal_those_of_the_rollout(self, queued):
        rollout = queued.rollouts().filter(arm__scaffold="rlm").first()
        play_rlm(rollout)
        rollout.refresh_from_db()
        tree = tree_of(rollout)
        kinds = [span.kind for span in tree.spans]
        assert kinds.count("turn") == rollout.turns
        assert kinds.count("cell") == rollout.cells
        assert kinds.count("sub_call") == rollout.sub_calls
        assert kinds.count("batch") == rollout.batches
        for span in tree.spans[1:]:
            parent = tree.spans[span.parent]
            assert tree.spans.index(parent) < tree.spans.index(span)
            assert span.start >= parent.start - 1e-6
        of_calls = [span for span in tree.spans if span.kind in ("model", "sub_call")]
        assert sum(span.dollars for span in of_calls) == rollout.cost
        assert sum(span.tokens for span in of_calls) == rollout.main_tokens + rollout.sub_tokens

    def test_own_seconds_are_those_without_children(self, queued):
        rollout = queued.rollouts().filter(arm__scaffold="rlm").first()
        play_rlm(rollout)
        tree = tree_of(rollout)
        own = spans.own_seconds(tree)
        children = tree.children()
        for index, span in enumerate(tree.spans):
            assert 0 <= own[index] <= span.seconds + 1e-9
            if index not in children:
                assert own[index] == span.seconds

    def test_batches_say_how_long_the_last_call_was_waited_for(self, story):
        root = story.root()
        key = story.start_cell(root, story.turn(root), "llm_batch(['a', 'b', 'c'])")
        for position in range(3):
            story.sub(key, position=position)
        story.end_cell(key, seconds=9.0)
        story.end(root)
        rollout = story.rollout
        calls = list(Trajectory.objects.filter(rollout=rollout, kind="sub").order_by("position"))
        begin = calls[0].started_at
        for call, seconds in zip(calls, (1, 2, 8), strict=True):
            Trajectory.objects.filter(pk=call.pk).update(
                started_at=begin, finished_at=begin + timedelta(seconds=seconds)
            )
        (batch,) = spans.batches(tree_of(rollout))
        assert (batch.calls, batch.wide, batch.median, batch.slowest, batch.waiting) == (3, 3, 2.0, 8.0, 6.0)

    def test_an_unknown_cost_stays_unknown(self, story):
        root = story.root()
        story.cell(root, "1")
        story.end(root)
        Turn.objects.filter(trajectory__rollout=story.rollout).update(cost=None, prompt_tokens=None)
        (call,) = [span for span in tree_of(story.rollout).spans if span.kind == "model"]
        assert (call.dollars, call.tokens) == (None, None)

    def test_what_runs_ends_now(self, story):
        root = story.root()
        story.start_cell(root, story.turn(root), "while True: pass")
        at = Execution.objects.get(turn__trajectory__rollout=story.rollout).started_at + timedelta(seconds=5)
        tree = spans.read(story.rollout, attempt=story.rollout.attempt, now=at)
        (cell,) = [span for span in tree.spans if span.kind == "cell"]
        assert (cell.seconds, cell.is_running) == (pytest.approx(5.0), True)

    def test_three_queries_however_many_calls(self, queued, django_assert_max_num_queries):
        rollout = queued.rollouts().filter(arm__scaffold="rlm").first()
        play_rlm(rollout)
        with django_assert_max_num_queries(3):
            tree_of(rollout)

    def test_nothing_without_a_trace(self, queued):
        assert tree_of(queued.rollouts().first()) is None


class TestContextWindow:
    def test_parts_share_the_tokens_of_each_prompt(self, story):
        root = story.root(prompt="p" * 100)
        story.cell(root, "print('x' * 50)", "y" * 300, said="Let me look.")
        story.turn(root, "done", prompt=4000)
        story.end(root)
        first, second = context_window.read(transcripts.root_of(story.rollout, attempt=story.rollout.attempt))
        assert first.chars["outputs"] == first.chars["own"] == 0
        assert second.chars["outputs"] >= 300
        assert second.chars["own"] > len("Let me look.")
        assert sum(second.tokens.values()) == pytest.approx(4000)
        assert second.tokens["outputs"] / 4000 == pytest.approx(
            second.chars["outputs"] / sum(second.chars.values())
        )

    def test_characters_are_those_of_the_derived_prompt(self, queued):
        rollout = queued.rollouts().filter(arm__scaffold="rlm").first()
        play_rlm(rollout)
        root = transcripts.root_of(rollout, attempt=rollout.attempt)
        last = root.turns.order_by("index").last()
        messages = transcripts.prompt_of(last)
        chars = sum(
            len(message["content"])
            + sum(len(call["function"]["arguments"]) for call in message.get("tool_calls", ()))
            for message in messages
        )
        assert sum(context_window.read(root)[-1].chars.values()) == chars


class TestAnswers:
    def test_each_change_is_an_edit_and_the_last_one_became_ready(self, story):
        root = story.root()
        story.cell(root, "a", answer="")
        story.cell(root, "b", answer="draft")
        story.cell(root, "c", answer="draft")
        story.cell(root, "d", answer="final", ready=True)
        story.end(root, answer="final")
        edits = answers.read(transcripts.root_of(story.rollout, attempt=story.rollout.attempt))
        assert [(edit.cell, edit.before.text, edit.after.text, edit.became_ready) for edit in edits] == [
            (2, "", "draft", False),
            (4, "draft", "final", True),
        ]

    def test_none_without_a_repl(self, queued):
        rollout = queued.rollouts().filter(arm__scaffold="llm").first()
        play_llm(rollout)
        assert answers.read(transcripts.root_of(rollout, attempt=rollout.attempt)) == ()


class TestVariables:
    def test_changes_and_writers(self, story):
        def row(name, value, kind="int"):
            return {"name": name, "type": kind, "size": "", "repr": value}

        root = story.root()
        story.cell(root, "x = 1", variables=[row("x", "1")])
        story.cell(root, "y = x", variables=[row("x", "1"), row("y", "1")])
        story.cell(root, "x += 1", variables=[row("x", "2"), row("y", "1")])
        story.cell(root, "del y\nx = 2", variables=[row("x", "2")])
        story.end(root)
        history = variables.read(transcripts.root_of(story.rollout, attempt=story.rollout.attempt))
        assert history.writers == {"x": (1, 3, 4), "y": (2,)}
        assert [variable.change for variable in history.after(2).variables] == ["", "new"]
        assert history.after(3).changed[0].name == "x"
        assert history.after(4).gone == ("y",)
        assert history.after(5) is None

    @pytest.mark.parametrize(
        ("code", "names"),
        [
            ("a = b = 1", {"a", "b"}),
            ("x[0] = 1; y.z = 2", {"x", "y"}),
            ("found.append(1)", {"found"}),
            ("for i in range(3):\n    total += i", {"i", "total"}),
            ("def f():\n    inner = 1", {"f"}),
            ("import a.b, c as d", {"a", "d"}),
            ("with open('x') as f: pass", {"f"}),
            ("(n := 3)", {"n"}),
            ("print(x)", set()),
            ("not python", set()),
        ],
    )
    def test_names_that_code_binds(self, code, names):
        assert variables.bound_names(code) == names


def test_dollars_are_exact(queued):
    rollout = queued.rollouts().filter(arm__scaffold="rlm").first()
    play_rlm(rollout)
    assert all(isinstance(span.dollars, Decimal) for span in tree_of(rollout).spans if span.kind == "model")
