"""math-python: mathematical questions with Python at hand, graded by equivalence."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from . import math_reasoning_gym
from .base import Environment, Example, Score, Settings
from .boxed import last_boxed
from .hub import usable_of_hub
from .local_files import Row, read_rows, sample
from .math_generated import KINDS, Problem, problem
from .math_grader import SHARED

OWN_QUESTIONS = Path(__file__).parent / "data" / "math_questions.jsonl"

HUB_DATASET, HUB_SUBSET, HUB_SPLIT = "PrimeIntellect/INTELLECT-3-RL", "math", "train"
INSTEAD = 'Set `source` to "generated", which needs no network, or to "local" with a file as `path`.'

MATHEMATICAL_WORDS = frozenset({
    "sqrt", "cbrt", "asin", "acos", "atan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "ceil", "floor",
    "matrix", "pmatrix", "bmatrix", "vmatrix", "cases", "array", "infty",
})  # fmt: skip
"""Words of four or more letters that occur in expressions. Any other word makes a gold answer prose."""

PROMPT = """\
{question}

Give your final answer as one mathematical expression in \\boxed{{}}, without a unit."""

TIPS = """\
Compute with Python rather than in your head: sympy solves and simplifies exactly, numpy and scipy handle \
numbers. Check the result by a second way (put it back into the equation, try small cases, compute \
numerically) before you set answer["ready"] = True."""

SUB_LLM_TIPS = """\
Use `llm_batch` to think in parallel. First break the problem down and send each part as its own \
self-contained question; then compute with Python (sympy, numpy, scipy); and before you finish, send your \
solution to two or three sub-LLMs that are to look for an error in it. Set answer["ready"] = True only when \
they and your own computation agree."""


class MathPythonSettings(Settings):
    """The source of the questions."""

    source: Literal["bundled", "generated", "reasoning-gym", "local", "huggingface"] = Field(
        "bundled",
        description="Where the questions come from: the few that come with the program, made from the seed by "
        "this program or by the package reasoning-gym, a local file, or the subset math of "
        "PrimeIntellect/INTELLECT-3-RL; `local` where only `path` is given",
    )
    path: str = Field(
        "",
        description="File of the source `local`: JSONL or CSV with the columns question and answer (GSM8K's `#### "
        "N` too), or problem and answer or solution",
    )

    @model_validator(mode="before")
    @classmethod
    def _path_means_local(cls, given: Any) -> Any:
        """Sets the source of specs that predate sources and only name a path."""
        if isinstance(given, Mapping) and given.get("path") and "source" not in given:
            return {**given, "source": "local"}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.source == "local" and not self.path:
            raise ValueError("source 'local' needs `path`, a JSONL or CSV file")
        if self.path and self.source != "local":
            raise ValueError(f"`path` is for the source 'local', not for {self.source!r}")
        return self


class MathPython(Environment[MathPythonSettings]):
    """The math-python environment. It has no input data; the LLM scaffold has a persistent Python tool."""

    name: ClassVar[str] = "math-python"
    title: ClassVar[str] = "Maths with Python"
    description: ClassVar[str] = "Mathematical questions, graded by equivalence of the expressions."
    settings_type: ClassVar[type[Settings]] = MathPythonSettings
    tips: ClassVar[Mapping[str, str]] = {"tips": TIPS, "sub_llm_tips": SUB_LLM_TIPS}
    packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "sympy")
    python_tool: ClassVar[bool] = True

    @classmethod
    def offline(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"source": "generated"}

    def load(self, *, n: int, seed: int) -> Sequence[Example]:
        if self.settings.source == "generated":
            return [_from_problem(self._generated(index, seed=seed), source="generated") for index in range(n)]
        if self.settings.source == "reasoning-gym":
            made = math_reasoning_gym.problems(n=n, seed=seed)
            return [_from_problem(one, source="reasoning-gym") for one in made]
        if self.settings.source == "huggingface":
            return usable_of_hub(
                HUB_DATASET,
                config=HUB_SUBSET,
                split=HUB_SPLIT,
                n=n,
                seed=seed,
                instead=INSTEAD,
                use=lambda row: _example(row, *_question_and_gold(row)),
            )
        return _from_file(self.settings.path or OWN_QUESTIONS, n=n, seed=seed)

    def _generated(self, index: int, *, seed: int) -> Problem:
        kinds = list(KINDS)
        rng = random.Random(f"{self.name}|{seed}|{index}")
        return problem(rng, kind=kinds[(index + seed) % len(kinds)])

    def score(self, example: Example, answer: str) -> Score:
        correct = any(SHARED.equal(gold=example.answer, answer=reading) for reading in _readings(answer))
        return Score(reward=float(correct), metrics={"boxed": float(last_boxed(answer) is not None)})


def _from_problem(made: Problem, *, source: str) -> Example:
    return Example(
        prompt=PROMPT.format(question=made.question),
        answer=made.answer,
        metadata={"source": source, "kind": made.kind},
    )


def _from_file(path: str | Path, *, n: int, seed: int) -> list[Example]:
    # The columns of every row are checked, so that a bad file is refused whatever the sample. Parsing is slow and
    # done for the sample only.
    rows = [(row, _question_and_gold(row)) for row in read_rows(path)]
    return [_example(row, *read) for row, read in sample(rows, n=n, seed=seed, source=str(path))]


def _readings(answer: str) -> list[str]:
    """Returns the texts to grade: the last box, else the text itself and, if it is short, all of it as one
    expression.
    """
    boxed = last_boxed(answer)
    if boxed is not None:
        return [f"\\boxed{{{boxed}}}"]
    bare = answer.strip().strip("$").strip()
    is_short = bare and "\n" not in bare and len(bare) <= 100 and bare.count("{") == bare.count("}")
    return [f"\\boxed{{{bare}}}", answer] if is_short else [answer]


def _question_and_gold(row: Row) -> tuple[str, str]:
    question = row.text("problem" if "problem" in row.columns else "question")
    column = "solution" if "answer" not in row.columns and "solution" in row.columns else "answer"
    written = row.text(column)
    marked = re.search(r"####\s*(.+?)\s*$", written)
    if marked:
        return question, marked.group(1).replace(",", "")
    boxed = last_boxed(written)
    if boxed is None and column == "solution":
        raise row.error("has no final answer: its column 'solution' holds no \\boxed{…} and no '#### …'")
    return question, (written if boxed is None else boxed).strip().strip("$")


def _is_prose(gold: str) -> bool:
    """Returns whether a gold answer has words that are not function names, which would parse as products of
    letters.
    """
    bare = re.sub(r"\\(text|mathrm|operatorname)\{[^{}]*\}|\\[A-Za-z]+", " ", gold)
    return any(word not in MATHEMATICAL_WORDS for word in re.findall(r"[A-Za-z]{4,}", bare))


def _example(row: Row, question: str, gold: str) -> Example:
    if _is_prose(gold) or not SHARED.is_expression(gold):
        raise row.error(f"has a gold answer that is no mathematical expression: {gold[:200]!r}")
    return Example(
        prompt=PROMPT.format(question=question.strip()),
        answer=gold,
        metadata={"source": row.path.name, row.unit: row.line},
    )
