"""Oolong: the generated subset's questions against an independent count, and local files."""

import json
import re
from collections import Counter
from datetime import datetime

import pytest

from rlm_runs.engine.environments.base import DataError
from rlm_runs.engine.environments.oolong import Oolong, OolongSettings
from rlm_runs.engine.environments.oolong_generated import QUESTIONS
from rlm_runs.engine.environments.oolong_messages import TOPICS


def load(n=16, seed=7, **settings):
    return Oolong(OolongSettings(**settings)).load(n=n, seed=seed)


def counted(example):
    """The answer, counted from the labelled lines of the context alone."""
    lines = re.findall(
        r"^Date: (.+?) \|\| User: (\d+) \|\| Message: .+? \|\| Label: (.+)$", example.input_data, re.M
    )
    question = example.prompt.split("Question: ")[1].splitlines()[0]
    named = re.findall(r"'([^']+)'", question)
    labels = Counter(label for _, _, label in lines)
    kind = example.metadata["kind"]
    if kind == "comparison":
        one, other = (labels[name] for name in named)
        return "same frequency as" if one == other else f"{'more' if one > other else 'less'} common than"
    if kind in ("most_frequent", "least_frequent"):
        return (max if kind == "most_frequent" else min)(labels, key=lambda label: labels[label])
    chosen = [(day, user) for day, user, label in lines if label == named[0]]
    if kind == "per_user_most":
        return Counter(user for _, user in chosen).most_common(1)[0][0]
    if kind == "per_date_most":
        return Counter(day for day, _ in chosen).most_common(1)[0][0]
    if kind == "per_user_count":
        return str(sum(user in question for _, user in chosen))
    if kind == "per_date_count":
        first = when(re.search(r"of (.+) or later", question).group(1))
        return str(sum(when(day) >= first for day, _ in chosen))
    return str(len(chosen))


def when(text):
    return datetime.strptime(text, "%b %d, %Y")  # noqa: DTZ007


@pytest.mark.parametrize("seed", range(5))
def test_gold_answers_are_what_counting_the_labels_gives(seed):
    examples = load(n=24, seed=seed, labels=True, context_length_min=1500, context_length_max=20_000)
    assert [example.answer for example in examples] == [counted(example) for example in examples]


def test_every_kind_of_question_comes_up():
    assert {example.metadata["kind"] for example in load(n=40)} == set(QUESTIONS)


def test_labels_change_the_context_and_nothing_else():
    for without, given in zip(
        load(context_length_min=3000, context_length_max=3000),
        load(context_length_min=3000, context_length_max=3000, labels=True),
        strict=True,
    ):
        assert "|| Label:" not in without.input_data
        assert given.input_data.count("|| Label:") == given.metadata["messages"]
        assert (without.metadata["subset"], given.metadata["subset"]) == ("generated", "generated_with_labels")


def test_context_lengths_are_spread_between_the_bounds_and_recorded():
    lengths = []
    for example in load(n=40, context_length_min=5_000, context_length_max=100_000):
        assert example.metadata["context_length"] == len(example.input_data)
        lengths.append(len(example.input_data))
    assert 4_900 < min(lengths) < 10_000
    assert 60_000 < max(lengths) < 100_300


def test_a_long_context_can_be_had():
    example = load(n=1, context_length_min=2_000_000, context_length_max=2_000_000)[0]
    assert 2_000_000 <= len(example.input_data) < 2_000_300


def test_no_phrase_serves_two_labels_and_every_slot_is_filled():
    for topic in TOPICS.values():
        phrases = [phrase for phrases in topic.labels.values() for phrase in phrases]
        assert len(phrases) == len(set(phrases))
    for example in load(n=12):
        assert "{" not in example.input_data


def test_the_prompt_names_the_labels_and_the_form_of_the_answer():
    for example in load():
        labels = TOPICS[example.metadata["topic"]].labels
        assert all(f"'{label}'" in example.prompt for label in labels)
        assert "Give your final answer in the form 'Answer: " in example.prompt


ROW = {
    "context_window_text": "a context",
    "context_window_text_with_labels": "a context with labels",
    "question": "How many?",
    "answer": "[3]",
    "answer_type": "ANSWER_TYPE.NUMERIC",
    "dataset": "trec",
    "task": "TASK_TYPE.NUMERIC",
}


@pytest.fixture
def file(tmp_path):
    def write(*rows):
        path = tmp_path / "oolong.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def test_a_local_file_of_the_published_columns(file):
    rows = [
        ROW,
        {**ROW, "answer": "[datetime.date(2024, 3, 4)]", "answer_type": "ANSWER_TYPE.DATE"},
        {**ROW, "answer": "['less common than']", "answer_type": "ANSWER_TYPE.COMPARISON"},
        {**ROW, "answer": "['ham']", "answer_type": "ANSWER_TYPE.LABEL"},
    ]
    settings = OolongSettings(subset="local", path=file(*rows), labels=True)
    examples = Oolong(settings).load(n=4, seed=1)
    assert sorted(example.answer for example in examples) == ["2024-3-4", "3", "ham", "less common than"]
    assert all(example.input_data == "a context with labels" for example in examples)
    assert all(Oolong(settings).score(example, example.answer).reward == 1 for example in examples)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({k: v for k, v in ROW.items() if k != "question"}, "line 2 has no column 'question'"),
        ({**ROW, "answer": "['x']"}, "line 2 has a gold answer that is no number"),
        ({**ROW, "answer": "['x']", "answer_type": "ANSWER_TYPE.DATE"}, "line 2 has a gold answer that its"),
        ({**ROW, "answer": "[]"}, "line 2 has an empty gold answer in its column 'answer'"),
        ({**ROW, "context_window_text": ""}, "line 2 has an empty column 'context_window_text'"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(file, row, says):
    settings = OolongSettings(subset="local", path=file(ROW, row))
    with pytest.raises(DataError, match=says):
        Oolong(settings).load(n=2, seed=1)
