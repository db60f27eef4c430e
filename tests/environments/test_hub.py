"""Datasets of the hub: sampling, checks, and clear errors. The package is faked."""

import sys
from types import SimpleNamespace

import pytest

from rlm_runs.engine.environments.base import DataError
from rlm_runs.engine.environments.deepdive import DeepDive, DeepDiveSettings
from rlm_runs.engine.environments.hub import sample_hub
from rlm_runs.engine.environments.math_python import MathPython, MathPythonSettings
from rlm_runs.engine.environments.oolong import Oolong, OolongSettings


@pytest.fixture
def hub(monkeypatch):
    """Puts rows or an error on the hub; returns a list of the requests."""

    def put(rows):
        asked = []

        def load_dataset(path, name=None, *, split):
            asked.append((path, name, split))
            if isinstance(rows, Exception):
                raise rows
            return rows

        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
        return asked

    return put


@pytest.fixture
def _web(monkeypatch):
    monkeypatch.setenv("SERPER_API_KEY", "x")
    monkeypatch.setattr("rlm_runs.engine.environments.web_tools.missing_packages", list)


def deepdive(n=3, seed=1, **settings):
    return DeepDive(DeepDiveSettings(**settings)).load(n=n, seed=seed)


ROWS = [{"question": f"q{n}", "answer": f"a{n}"} for n in range(30)]


@pytest.mark.usefixtures("_web")
def test_deepdive_of_the_hub(hub):
    asked = hub(ROWS)
    examples = deepdive(n=20, source="huggingface")
    assert asked == [("zai-org/DeepDive", None, "qa_rl")]
    assert deepdive(n=5, source="huggingface") == examples[:5]
    assert deepdive(n=20, seed=2, source="huggingface") != examples
    for example in examples:
        row = example.metadata["row"]
        assert example.prompt.startswith(f"q{row}\n")
        assert example.answer == f"a{row}"


@pytest.mark.usefixtures("_web")
def test_deepdive_of_a_local_file(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "q", "answer": "a"}\n{"question": "r", "answer": "b"}\n')
    environment = DeepDive(DeepDiveSettings(source="local", path=str(path)))
    for example in environment.load(n=2, seed=1):
        assert environment.score(example, example.answer).reward == 1
    assert [tool.name for tool in environment.tools()] == ["search", "open"]
    path.write_text('{"question": "q", "answer": "a"}\n{"question": "r"}\n')
    with pytest.raises(DataError, match=r"q\.jsonl, line 2 has no column 'answer'"):
        environment.load(n=1, seed=1)


@pytest.mark.usefixtures("_web")
def test_a_bad_row_is_named(hub):
    hub([{"question": "q"}])
    with pytest.raises(DataError, match=r"zai-org/DeepDive, row 0 has no column 'answer' \(it has: question\)"):
        deepdive(n=1, source="huggingface")


@pytest.mark.parametrize("source", ["huggingface", "local"])
def test_without_the_key_for_search_nothing_is_launched(monkeypatch, source):
    monkeypatch.delenv("SERPER_API_KEY", raising=False)
    with pytest.raises(DataError, match=r'SERPER_API_KEY.*Set `source` to "generated"'):
        deepdive(source=source, path="x")


@pytest.mark.usefixtures("_web")
@pytest.mark.parametrize("error", [ConnectionError("no route to host"), ValueError("bad"), KeyError("x")])
def test_a_hub_out_of_reach_names_the_offline_source(hub, error):
    hub(error)
    with pytest.raises(DataError, match=f'zai-org/DeepDive.*{type(error).__name__}.*Set `source` to "generated"'):
        deepdive(source="huggingface")


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install datasets\. Do that\."):
        sample_hub("a/b", split="s", n=1, seed=1, instead="Do that.")


def test_more_than_there_is(hub):
    hub(ROWS)
    with pytest.raises(DataError, match="50 examples are asked for, and a/b has 30"):
        sample_hub("a/b", split="s", n=50, seed=1, instead="")


OOLONG_ROWS = [
    {
        "context_window_text": f"context {n}",
        "context_window_text_with_labels": f"context {n} with labels",
        "question": f"q{n}",
        "answer": f"[{n}]",
        "answer_type": "ANSWER_TYPE.NUMERIC",
    }
    for n in range(40)
]


@pytest.mark.parametrize(
    ("subset", "asked_for"),
    [
        ("synth", ("oolongbench/oolong-synth", None, "test")),
        ("synth_with_labels", ("oolongbench/oolong-synth", None, "test")),
        ("real", ("oolongbench/oolong-real", "dnd", "test")),
    ],
)
def test_oolong_of_the_hub(hub, subset, asked_for):
    asked = hub(OOLONG_ROWS)
    environment = Oolong(OolongSettings(subset=subset))
    examples = environment.load(n=10, seed=1)
    assert asked == [asked_for]
    assert [e.answer for e in examples] != sorted((e.answer for e in examples), key=int)
    for example in examples:
        assert example.input_data.endswith("with labels") == (subset == "synth_with_labels")
        assert example.metadata["subset"] == subset
        assert example.metadata["context_length"] == len(example.input_data)
        assert environment.score(example, example.answer).reward == 1


@pytest.mark.parametrize(
    "answer", ["['Vex', 'Scanlan']", "84", "Percy.", '["Keyleth"]', "None", "Mr. Grog (twice)", "3.5"]
)
def test_answers_of_oolong_real_as_they_are_written(hub, answer):
    hub([{"context_window_text": "c", "question": "q", "answer": answer, "question_type": "multi"}])
    environment = Oolong(OolongSettings(subset="real"))
    (example,) = environment.load(n=1, seed=1)
    assert example.metadata["kind"] == "multi"
    assert environment.score(example, f"\\boxed{{{example.answer}}}").reward == 1


def test_oolong_out_of_reach_names_the_offline_subsets(hub):
    hub(ConnectionError("no route"))
    with pytest.raises(DataError, match=r'oolong-real.*Set `subset` to "generated".*"local"'):
        Oolong(OolongSettings(subset="real")).load(n=1, seed=1)


def test_the_judge_of_oolong_does_not_read_the_context(hub):
    hub(OOLONG_ROWS)
    judged = Oolong(OolongSettings(subset="synth", scoring="judge"))
    example = judged.load(n=1, seed=1)[0]
    prompt = judged.judge_prompt(example, "It is 7.")
    assert example.prompt in prompt
    assert "It is 7." in prompt
    assert example.input_data not in prompt
    assert Oolong(OolongSettings(subset="synth")).judge_prompt(example, "x") is None


def test_math_python_of_the_hub(hub):
    asked = hub([{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(20)])
    environment = MathPython(MathPythonSettings(source="huggingface"))
    for example in environment.load(n=5, seed=1):
        assert example.prompt.startswith(f"What is {example.metadata['row']} + 1?")
        assert environment.score(example, example.answer).reward == 1
    assert asked == [("PrimeIntellect/INTELLECT-3-RL", "math", "train")]
    hub([{"question": "q", "answer": "hello there"}])
    with pytest.raises(DataError, match=r"has 0 that can be used; .*RL, row 0 has a gold answer that is no"):
        environment.load(n=1, seed=1)
    hub([{"problem": "q"}] * 100)
    with pytest.raises(DataError, match=r"RL, row .* has no column 'answer'"):
        environment.load(n=1, seed=1)
    hub(ConnectionError("no route"))
    with pytest.raises(DataError, match='Set `source` to "generated"'):
        environment.load(n=1, seed=1)


def test_questions_of_the_hub_that_cannot_be_graded_are_passed_over(hub):
    hub([{"question": "q", "answer": "some words here" if n % 3 else str(n)} for n in range(60)])
    environment = MathPython(MathPythonSettings(source="huggingface"))
    examples = environment.load(n=10, seed=1)
    assert all(example.answer.isdigit() for example in examples)
    assert environment.load(n=4, seed=1) == examples[:4]


def test_an_answer_of_the_hub_that_its_type_cannot_be_is_scored_as_a_text(hub):
    hub([{**OOLONG_ROWS[0], "answer": "['no date']", "answer_type": "ANSWER_TYPE.DATE"}])
    environment = Oolong(OolongSettings(subset="synth"))
    (example,) = environment.load(n=1, seed=1)
    assert environment.score(example, "Answer: No date").reward == 1
    assert environment.score(example, "Answer: Mar 03, 2024").reward == 0
