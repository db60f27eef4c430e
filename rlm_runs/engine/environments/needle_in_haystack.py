"""needle-in-haystack: find a few lines that matter among many that do not."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from .base import Environment, Example, Score, Settings
from .vocabulary import NAMES, PLACES, WORDS

NeedleType = Literal["word", "numeric"]

PROMPT = """\
You are given a long text, the haystack: {lines} lines, almost all of which do not matter. Hidden among them \
{are}, each on a line of its own and of the form

    {form}

Find {every}. Answer with the hidden {noun} alone, separated by commas, in any order."""

TIPS = """\
The haystack is too long to be read: search it with code.
1. Print the length and the first few lines of `context`, to see what an ordinary line looks like.
2. Search for the form of a needle with a regular expression, leniently (case, spaces); count what you find.
3. If the count is not the one asked for, look at the lines that are unlike the others.
4. Print the matching lines, then set answer["content"] to the comma-separated list and answer["ready"] = True."""

FORMS = {"word": "The secret word of {key} is: {value}", "numeric": "The secret number of {key} is: {value}"}

MAX_WORDS_PER_NEEDLE = 40
"""An answer with more words per needle has copied the haystack instead of finding the needles."""


class NeedleSettings(Settings):
    """The shape of the haystack."""

    lines: int = Field(2_000, ge=10, le=500_000, description="Length of the haystack, in lines")
    lines_spread: float = Field(
        0.0,
        ge=0,
        le=0.95,
        description="How far lengths differ between examples: each has `lines` × (1 ± this), as a fraction",
    )
    needles: int = Field(3, ge=1, le=100, description="Needles per haystack, as a count")
    needle_type: NeedleType = Field("word", description="What is hidden: a made-up word or a seven-digit number")
    position: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Where the needles are, as a fraction of the haystack (0 start, 1 end); none: anywhere",
    )
    variance: float = Field(
        0.05,
        ge=0,
        le=1,
        description="How far from `position` a needle may be, as a fraction of the haystack",
    )

    @model_validator(mode="after")
    def _needles_fit(self) -> Self:
        shortest = int(self.lines * (1 - self.lines_spread))
        if self.needles > shortest // 2:
            raise ValueError(
                f"{self.needles} needles do not fit: a haystack of {shortest} lines takes {shortest // 2}"
            )
        return self


class NeedleInHaystack(Environment[NeedleSettings]):
    """The needle-in-haystack environment. Examples are generated and seeded; the haystack is input data."""

    name: ClassVar[str] = "needle-in-haystack"
    title: ClassVar[str] = "Needle in a haystack"
    description: ClassVar[str] = "Find the few lines of a long text that hide a word or a number."
    settings_type: ClassVar[type[Settings]] = NeedleSettings
    tips: ClassVar[Mapping[str, str]] = {"tips": TIPS}

    def load(self, *, n: int, seed: int) -> Sequence[Example]:
        return [self._example(index, seed=seed) for index in range(n)]

    def _example(self, index: int, *, seed: int) -> Example:
        settings = self.settings
        rng = random.Random(f"{self.name}|{seed}|{index}")
        spread = settings.lines_spread
        lines = round(settings.lines * rng.uniform(1 - spread, 1 + spread))
        values = _needle_values(rng, count=settings.needles, kind=settings.needle_type)
        haystack = [_filler(rng) for _ in range(lines)]
        form = FORMS[settings.needle_type]
        for place, key, value in zip(
            _places(rng, settings=settings, lines=lines),
            rng.sample(KEYS, k=settings.needles),
            values,
            strict=True,
        ):
            haystack[place] = form.format(key=key, value=value)
        text = "\n".join(haystack)
        return Example(
            prompt=_prompt(settings, lines=lines),
            answer=", ".join(values),
            input_data=text,
            metadata={"context_length": len(text), "lines": lines, "needle_type": settings.needle_type},
        )

    def evidence(self, example: Example) -> Sequence[tuple[int, int]]:
        """Returns the lines of the needles. See `Environment`."""
        data = example.input_data or ""
        places = (data.find(needle) for needle in example.answer.split(", "))
        return [
            (data.rfind("\n", 0, at) + 1, len(data) if (end := data.find("\n", at)) < 0 else end)
            for at in places
            if at >= 0
        ]

    def score(self, example: Example, answer: str) -> Score:
        needles = example.answer.split(", ")
        words = re.findall(r"\w+", answer.lower())
        said = set(words) if len(words) <= MAX_WORDS_PER_NEEDLE * len(needles) else set()
        found = sum(needle in said for needle in needles) / len(needles)
        return Score(reward=float(found == 1), metrics={"partial_match": found})


KEYS = [f"the {word} {noun}" for word in WORDS for noun in ("guild", "gate", "club", "office")]

FILLERS = (
    "{name} carried the {a} and the {b} from {place} before noon.",
    "In {place} nobody asked {name} about the {a}.",
    "{name} wrote to {place} that the {a} had arrived without its {b}.",
    "The {a} stood beside the {b}, and {name} left it there.",
    "It rained in {place} while {name} mended the {a} with a {b}.",
    "{name} sold {count} crates of {a} and kept the {b}.",
    "At {count} minutes past nine {name} opened the {a} store in {place}.",
    "No word came from {place}, so {name} counted the {a} again.",
)


def _filler(rng: random.Random) -> str:
    return rng.choice(FILLERS).format(
        name=rng.choice(NAMES),
        place=rng.choice(PLACES),
        a=rng.choice(WORDS),
        b=rng.choice(WORDS),
        count=rng.randint(2, 59),
    )


def _needle_values(rng: random.Random, *, count: int, kind: NeedleType) -> list[str]:
    """Returns distinct values that no filler line contains."""
    values: dict[str, None] = {}
    while len(values) < count:
        if kind == "numeric":
            values[str(rng.randint(1_000_000, 9_999_999))] = None
        else:
            syllables = (rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(4))
            values["".join(syllables) + rng.choice("lnrx")] = None
    return list(values)


def _places(rng: random.Random, *, settings: NeedleSettings, lines: int) -> list[int]:
    """Returns distinct line numbers, the nearest free ones to the wanted positions."""
    if settings.position is None:
        return rng.sample(range(lines), k=settings.needles)
    places: list[int] = []
    for _ in range(settings.needles):
        fraction = settings.position + rng.uniform(-settings.variance, settings.variance)
        wished = round(min(max(fraction, 0.0), 1.0) * (lines - 1))
        nearest = (wished + step * side for step in range(lines) for side in (1, -1))
        places.append(next(i for i in nearest if 0 <= i < lines and i not in places))
    return places


def _prompt(settings: NeedleSettings, *, lines: int) -> str:
    single = settings.needles == 1
    noun = {"word": "word", "numeric": "number"}[settings.needle_type]
    return PROMPT.format(
        lines=lines,
        are="is one needle" if single else f"are {settings.needles} needles",
        form=FORMS[settings.needle_type].format(key="…", value="…"),
        every="it" if single else "all of them",
        noun=noun if single else f"{noun}s",
    )
