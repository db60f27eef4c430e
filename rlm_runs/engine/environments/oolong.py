"""Oolong: aggregate questions about a long list of messages, each of which must be understood to be counted."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from . import oolong_generated as generated
from .base import Environment, Example, Score, Settings
from .judging import judge_prompt
from .oolong_rows import from_file, from_hub
from .oolong_scoring import contains_answer, exact_match, official_score

PROMPT = """\
The context is a list of {count} messages, one a line, each with its date and the number of the user who wrote \
it. {about} Every message has exactly one of these labels: {labels}.{inferred}

Question: {question}

{form}"""

INFERRED = " The labels are not written in the list: infer each message's label from what it says."
GIVEN = " The label of each message stands at the end of its line."

FORMS = {
    "number": "Give your final answer in the form 'Answer: number', with the number in digits.",
    "label": "Give your final answer in the form 'Answer: label', with one of the labels above.",
    "user": "Give your final answer in the form 'Answer: user', with the number of the user.",
    "date": "Give your final answer in the form 'Answer: date', with the date written as in the list.",
    "comparison": "Give your final answer in the form 'Answer: phrase', where phrase is one of: "
    "more common than, less common than, same frequency as.",
}

TIPS = """\
The context is long, and what it takes is reading, not searching: keywords will mislead you.
1. Look at the first lines of `context` to see their form, and parse them into records.
2. Split the records into chunks of some dozens of lines, and write one prompt per chunk. A sub-LLM sees only \
its prompt: give it the lines, the list of labels, and the exact form in which it is to answer (for each line \
its number and its label).
3. Send all the prompts in one `llm_batch` call.
4. Parse the answers, check that every line has one label, and ask again for those that have none.
5. Aggregate in Python (counts by label, user or date), then write the answer in the form asked for."""


class OolongSettings(Settings):
    """The source of the questions, the length of their contexts, and the scoring of answers."""

    subset: Literal["generated", "local", "synth", "synth_with_labels", "real"] = Field(
        "generated",
        description="Where the examples come from: made from the seed, a local file, or the published datasets "
        "oolong-synth (with or without labels) and oolong-real",
    )
    path: str = Field("", description="File of the subset `local`: JSONL or CSV with the columns of oolong-synth")
    labels: bool = Field(
        False, description="Of `generated` and `local`: whether each message's label is written beside it"
    )
    context_length_min: int = Field(
        10_000, ge=500, le=5_000_000, description="Shortest generated context, in characters"
    )
    context_length_max: int = Field(
        100_000,
        ge=500,
        le=5_000_000,
        description="Longest generated context, in characters; lengths are spread evenly in log scale",
    )
    scoring: Literal["official", "judge", "exact"] = Field(
        "official",
        description="Reward: the benchmark's rule for the answer's type, a judge's yes or no, or exact match",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.context_length_min > self.context_length_max:
            raise ValueError("context_length_min is greater than context_length_max")
        if self.subset == "local" and not self.path:
            raise ValueError("subset 'local' needs `path`, a JSONL or CSV file")
        return self


class Oolong(Environment[OolongSettings]):
    """The Oolong environment. The messages are input data."""

    name: ClassVar[str] = "oolong"
    title: ClassVar[str] = "Oolong"
    description: ClassVar[str] = "Aggregate questions about many messages whose kind must be understood."
    settings_type: ClassVar[type[Settings]] = OolongSettings
    tips: ClassVar[Mapping[str, str]] = {"tips": TIPS}

    @classmethod
    def offline(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        labels = settings.get("subset") == "synth_with_labels" or settings.get("labels", False)
        kept = {name: value for name, value in settings.items() if name != "path"}
        return {**kept, "subset": "generated", "labels": labels}

    def load(self, *, n: int, seed: int) -> Sequence[Example]:
        if self.settings.subset == "generated":
            return [self._generated(index, seed=seed) for index in range(n)]
        if self.settings.subset == "local":
            return from_file(self.settings.path, labels=self.settings.labels, n=n, seed=seed)
        return from_hub(self.settings.subset, n=n, seed=seed)

    def _generated(self, index: int, *, seed: int) -> Example:
        settings = self.settings
        rng = random.Random(f"{self.name}|{seed}|{index}")
        low, high = math.log(settings.context_length_min), math.log(settings.context_length_max)
        about = generated.window(rng, characters=round(math.exp(rng.uniform(low, high))), labels=settings.labels)
        kinds = list(generated.QUESTIONS)
        asked = generated.question(rng, about=about, kind=kinds[(index + seed) % len(kinds)])
        text = about.text(labels=settings.labels)
        prompt = PROMPT.format(
            count=len(about.messages),
            about=about.topic.about,
            labels=", ".join(f"'{label}'" for label in about.topic.labels),
            inferred=GIVEN if settings.labels else INFERRED,
            question=asked.text,
            form=FORMS[asked.answer_type],
        )
        metadata = {
            "context_length": len(text),
            "subset": "generated_with_labels" if settings.labels else "generated",
            "kind": asked.kind,
            "answer_type": asked.answer_type,
            "topic": about.topic.name,
            "messages": len(about.messages),
        }
        return Example(prompt=prompt, answer=asked.answer, input_data=text, metadata=metadata)

    def score(self, example: Example, answer: str) -> Score:
        exact = float(exact_match(answer, gold=example.answer))
        official = official_score(
            answer, gold=example.answer, answer_type=str(example.metadata.get("answer_type", "text"))
        )
        return Score(
            reward=official if self.settings.scoring == "official" else exact,
            metrics={
                "exact_match": exact,
                "contains_answer": float(contains_answer(answer, gold=example.answer)),
                "official_score": official,
            },
        )

    def judge_prompt(self, example: Example, answer: str) -> str | None:
        if self.settings.scoring != "judge":
            return None
        return judge_prompt(question=example.prompt, gold=example.answer, response=answer)
