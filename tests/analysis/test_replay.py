"""Spans, context window, answers and variables of an attempt, from stored rows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import ClassVar

import pytest
from django.utils.timezone import now

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.replay import answers, context_window, coverage, diagnosis, spans, variables
from rlm_runs.engine.environments.needle_in_haystack import NeedleInHaystack
from rlm_runs.models import Example, Execution, Text, Trajectory, Turn
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


class TestCoverage:
    LINES: ClassVar = [f"line {number} of the input, which says {number * number}" for number in range(100)]

    @pytest.fixture
    def with_input(self, story):
        (data,) = Text.objects.keep(["\n".join(self.LINES)])
        Example.objects.filter(pk=story.rollout.example_id).update(input_data_id=data)
        story.rollout.example.refresh_from_db()
        return story

    def read(self, story):
        story.end(self.root)
        return coverage.read(story.rollout, attempt=story.rollout.attempt)[0]

    def test_what_was_printed_and_what_went_to_sub_llms(self, with_input):
        story = with_input
        self.root = story.root()
        story.cell(self.root, "print(lines[:10])", "\n".join(self.LINES[:10]) + "\n[Execution time: 0.1s]")
        key = story.start_cell(self.root, story.turn(self.root), "llm_batch(chunks)")
        story.sub(key, prompt="Label these lines:\n" + "\n".join(self.LINES[50:60]))
        story.end_cell(key)
        seen = self.read(story)
        starts = [sum(len(line) + 1 for line in self.LINES[:number]) for number in range(101)]
        assert seen.printed == ((0, starts[10] - 1),)
        assert seen.prompted == ((starts[50], starts[60] - 1),)
        assert seen.unread == ((starts[10] - 1, starts[50]), (starts[60] - 1, seen.chars))
        assert seen.share(seen.printed) + seen.share(seen.prompted) + seen.share(seen.unread) == pytest.approx(1)
        assert not seen.is_partial

    def test_pieces_of_lines_are_found(self, with_input):
        story = with_input
        self.root = story.root()
        story.cell(self.root, "context[3:80]", "'" + self.LINES[0][3:45] + "'")
        seen = self.read(story)
        assert seen.printed == ((3, 3 + len(self.LINES[0][3:45])),)

    def test_the_whole_input_read_leaves_nothing(self, with_input):
        story = with_input
        self.root = story.root()
        story.cell(self.root, "print(context)", "\n".join(self.LINES))
        seen = self.read(story)
        assert (seen.share(seen.printed), seen.unread) == (1.0, ())

    def test_none_without_input_data(self, story):
        root = story.root()
        story.end(root)
        assert coverage.read(story.rollout, attempt=story.rollout.attempt) is None

    def test_the_evidence_of_needles_is_their_lines(self):
        environment = NeedleInHaystack(NeedleInHaystack.settings_type(lines=200, needles=3))
        for example in environment.load(n=5, seed=3):
            lines = [example.input_data[begin:end] for begin, end in environment.evidence(example)]
            assert len(lines) == 3
            assert all(
                needle in line and line in example.input_data.split("\n")
                for needle, line in zip(example.answer.split(", "), lines, strict=True)
            )


class TestDiagnosis:
    def read(self, story, *, answer, gold="17"):
        (key,) = Text.objects.keep([gold])
        Example.objects.filter(pk=story.rollout.example_id).update(answer_id=key)
        story.end(self.root, answer=answer, reward=0.0)
        story.rollout.refresh_from_db()
        return {
            moment.rule: (moment.turn, moment.cell)
            for moment in diagnosis.read(story.rollout, attempt=story.rollout.attempt)
        }

    def test_the_first_output_with_the_wrong_answer(self, story):
        self.root = story.root()
        story.cell(self.root, "look()", "there are 118 lines")
        story.cell(self.root, "count()", "I count 18")
        story.cell(self.root, "count()", "still 18")
        assert self.read(story, answer="18")["contradiction"] == (2, 2)

    def test_an_output_that_has_both_is_no_contradiction(self, story):
        self.root = story.root()
        story.cell(self.root, "count()", "18 or 17")
        assert "contradiction" not in self.read(story, answer="18")

    def test_the_edit_that_made_it_wrong(self, story):
        self.root = story.root()
        story.cell(self.root, "a", answer="17.0")
        story.cell(self.root, "b", answer="18")
        assert self.read(story, answer="18")["edit"] == (2, 2)

    def test_the_first_wrong_answer_where_it_was_never_right(self, story):
        self.root = story.root()
        story.cell(self.root, "a", answer="draft")
        story.cell(self.root, "b", answer="18")
        assert self.read(story, answer="18")["edit"] == (2, 2)

    def test_an_error_that_nothing_made_up_for(self, story):
        self.root = story.root()
        story.cell(self.root, "x = 1 / 0", error_type="ZeroDivisionError")
        story.cell(self.root, "x = 1")
        story.cell(self.root, "table = load()", error_type="NameError")
        story.cell(self.root, "y = 2")
        assert self.read(story, answer="y")["error"] == (3, 3)

    def test_an_error_that_was_made_up_for_is_none(self, story):
        self.root = story.root()
        story.cell(self.root, "x = 1 / 0", error_type="ZeroDivisionError")
        story.cell(self.root, "x = 1")
        assert "error" not in self.read(story, answer="1")

    def test_a_cut_output_that_hid_the_gold_answer(self, story):
        self.root = story.root()
        story.cell(self.root, "print(table)", "a" * 50 + " 17 b", shown="a" * 50, truncated=True)
        assert self.read(story, answer="18")["cut"] == (1, 1)

    def test_a_bounded_number_of_queries(self, story, django_assert_max_num_queries):
        self.root = story.root()
        for number in range(20):
            story.cell(self.root, f"f({number})", f"{number}", answer=str(number))
        self.read(story, answer="19")
        with django_assert_max_num_queries(8):
            diagnosis.read(story.rollout, attempt=story.rollout.attempt)
