"""math-python: question files, grading, and errors for bad files."""

import itertools
import json
import re
import sys
from pathlib import Path

import pytest
import sympy

from rlm_runs.engine.environments.base import DataError, Example
from rlm_runs.engine.environments.math_generated import KINDS
from rlm_runs.engine.environments.math_python import OWN_QUESTIONS, MathPython, MathPythonSettings
from rlm_runs.engine.environments.math_reasoning_gym import TASKS

GSM8K = Path(__file__).parents[3] / "shared/data/gsm8k_test_100.jsonl"


@pytest.fixture
def load(tmp_path):
    def from_rows(*rows, name="questions.jsonl", n=None):
        path = tmp_path / name
        path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
        return MathPython(MathPythonSettings(path=str(path))).load(n=n or len(rows), seed=1)

    return from_rows


def score(answer, *, gold="18"):
    return MathPython(MathPythonSettings()).score(Example(prompt="", answer=gold), answer).reward


@pytest.mark.parametrize(
    ("row", "gold"),
    [
        ({"question": "q", "answer": "\\frac{1}{2}"}, "\\frac{1}{2}"),
        ({"question": "q", "answer": 12}, "12"),
        ({"question": "q", "answer": "It is <<3*4=12>>12.\n#### 1,012"}, "1012"),
        ({"problem": "q", "solution": "So it is $\\boxed{\\frac{3}{4}}$."}, "\\frac{3}{4}"),
        ({"problem": "q", "solution": "Long.", "answer": "7"}, "7"),
        ({"problem": "q", "answer": "the answer is \\boxed{7}"}, "7"),
    ],
)
def test_forms_of_questions(load, row, gold):
    (example,) = load(row)
    assert example.answer == gold
    assert example.prompt.startswith("q\n")
    assert "\\boxed{}" in example.prompt


def test_csv(load):
    (example,) = load("question,answer\n", "What is 1+1?,2\n", name="q.csv", n=1)
    assert (example.answer, example.metadata) == ("2", {"source": "q.csv", "line": 2})


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "q"}, "line 2 has no column 'answer' \\(it has: question\\)"),
        ({"answer": "1"}, "line 2 has no column 'question'"),
        ({"question": "q", "answer": " "}, "line 2 has an empty column 'answer'"),
        ({"question": "q", "answer": "\\frac{1}{"}, "line 2 has a gold answer that is no mathematical expression"),
        (
            {"question": "q", "answer": "hello world"},
            "line 2 has a gold answer that is no mathematical expression",
        ),
        ({"problem": "q", "solution": "no box"}, "line 2 has no final answer"),
        ("not json\n", "line 2 is not JSON"),
        ("[1]\n", "line 2 is not a JSON object"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(load, row, says):
    with pytest.raises(DataError, match=f"questions.jsonl, {says}"):
        load({"question": "q", "answer": "1"}, row)


def test_a_missing_file_says_what_to_do(tmp_path):
    settings = MathPythonSettings(path=str(tmp_path / "gone.jsonl"))
    with pytest.raises(DataError, match=r"gone.jsonl does not exist. Set `path` to a JSONL or CSV file"):
        MathPython(settings).load(n=1, seed=1)


@pytest.mark.parametrize(("content", "says"), [(b"", "has no rows"), (b"\xff\xfe", "is not UTF-8")])
def test_files_that_are_no_questions(tmp_path, content, says):
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        MathPython(MathPythonSettings(path=str(path))).load(n=1, seed=1)


def test_more_examples_than_the_file_has(load):
    with pytest.raises(DataError, match=r"5 examples are asked for, and .* has 1"):
        load({"question": "q", "answer": "1"}, n=5)


@pytest.mark.parametrize(
    "answer",
    [
        "18", "\\boxed{18}", "\\boxed{36/2}", "$18$", "18.0", "18 dollars", "#### 18", "\\boxed{\\$18}",
        "First \\boxed{5}, no: \\boxed{18}", "So the answer is $18$.", "\\boxed{2 \\cdot 3^2}",
    ],
)  # fmt: skip
def test_equivalent_answers(answer):
    assert score(answer) == 1


@pytest.mark.parametrize(
    "answer", ["19", "\\boxed{19}", "18 or 19", "\\boxed{}", "eighteen-ish", "\\boxed{18} \\boxed{1}"]
)
def test_other_answers(answer):
    assert score(answer) == 0


def test_its_own_questions_are_enough_for_a_first_run():
    assert len(OWN_QUESTIONS.read_text().splitlines()) >= 20


@pytest.mark.parametrize("path", [OWN_QUESTIONS, *([GSM8K] if GSM8K.exists() else [])], ids=lambda path: path.stem)
def test_the_gold_answers_of_whole_files_score_one(path):
    environment = MathPython(MathPythonSettings(path=str(path)))
    examples = environment.load(n=len(path.read_text().splitlines()), seed=1)
    assert all(environment.score(example, f"\\boxed{{{example.answer}}}").reward == 1 for example in examples)


def test_a_path_alone_means_a_local_file():
    assert MathPythonSettings(path="x").source == "local"
    again = MathPythonSettings(**MathPythonSettings(path="x").model_dump())
    assert (again.source, again.path) == ("local", "x")
    assert MathPythonSettings(path="").source == "bundled"


def generated(seed, n=16):
    return MathPython(MathPythonSettings(source="generated")).load(n=n, seed=seed)


def numbers(text):
    return [int(n) for n in re.findall(r"-?\d+", text.splitlines()[0])]


def solved(kind, question):
    """The answer computed independently, by sympy or brute force."""
    n = numbers(question)
    x, y = sympy.symbols("x y")
    if kind == "power_remainder":
        return pow(n[0], n[1]) % n[2]
    if kind == "divisor_count":
        return sympy.divisor_count(n[0])
    if kind == "multiples_sum":
        return sum({*range(n[1], n[0] + 1, n[1]), *range(n[2], n[0] + 1, n[2])})
    if kind == "linear_system":
        found = sympy.solve([n[0] * x + n[1] * y - n[2], n[3] * x + n[4] * y - n[5]], [x, y])
        return found[x] + found[y]
    if kind == "root_powers":
        roots = sympy.roots(x**2 + n[1] * x + n[2], x)
        return sympy.simplify(sum(count * root**4 for root, count in roots.items()))
    if kind == "polynomial_integral":
        return sympy.integrate(n[0] * x**3 + n[2] * x**2 + n[4] * x, (x, n[5], n[6]))
    if kind == "lattice_paths":
        return paths(n[2], n[3], avoid=(n[4], n[5]))
    dice, sides, total = n[0], n[1], n[4]
    thrown = itertools.product(range(1, sides + 1), repeat=dice)
    return sympy.Rational(sum(sum(one) == total for one in thrown), sides**dice)


def paths(width, height, *, avoid):
    ways = {(0, 0): 1}
    for x, y in itertools.product(range(width + 1), range(height + 1)):
        if (x, y) != (0, 0):
            ways[x, y] = 0 if (x, y) == avoid else ways.get((x - 1, y), 0) + ways.get((x, y - 1), 0)
    return ways[width, height]


@pytest.mark.parametrize("seed", range(4))
def test_generated_answers_are_what_another_way_finds(seed):
    for example in generated(seed):
        gold = sympy.Rational(re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2", example.answer))
        assert solved(example.metadata["kind"], example.prompt) == gold, example.prompt


def test_every_kind_of_generated_problem_comes_up():
    assert {example.metadata["kind"] for example in generated(1, n=8)} == set(KINDS)


class _Gym:
    """The part of reasoning-gym that is used: datasets by task, items by seed and number."""

    def __init__(self):
        self.asked = []

    def create_dataset(self, task, *, size, seed):
        self.asked.append((task, size))
        return [
            {"question": f"{task} {seed} {number}?\n", "answer": f"$\\dfrac{{{number}}}{{7}}$"}
            for number in range(size)
        ]


def _from_gym(n):
    return MathPython(MathPythonSettings(source="reasoning-gym")).load(n=n, seed=3)


def test_problems_of_reasoning_gym_take_its_tasks_in_turn(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", gym := _Gym())
    examples = _from_gym(30)
    assert [example.metadata["kind"] for example in examples] == [TASKS[(3 + i) % len(TASKS)] for i in range(30)]
    assert examples[0].prompt.startswith(f"{TASKS[3]} 3 0?\n\nGive your final answer")
    assert examples[13].prompt.startswith(f"{TASKS[3]} 3 1?")
    assert examples[13].answer == "\\dfrac{1}{7}"
    assert len({example.prompt for example in examples}) == 30
    assert all(score(example.answer, gold=example.answer) == 1 for example in examples[:3])
    assert sorted(gym.asked) == sorted((task, 3) for task in TASKS)
    assert _from_gym(5) == examples[:5]
    assert {task for task, size in gym.asked if size == 1} == {TASKS[(3 + i) % len(TASKS)] for i in range(5)}


def test_where_reasoning_gym_is_not_installed_it_is_said_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(DataError, match=r"pip install reasoning-gym .*Set `source` to \"generated\""):
        _from_gym(2)
