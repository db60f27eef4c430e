"""verbatim-copy: repeat a text exactly. It is easy to state and hard to do: one wrong character is a failure."""

from __future__ import annotations

import csv
import io
import json
import random
import string
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field
from rapidfuzz.distance import Levenshtein

from .base import Environment, Example, Score, Settings
from .boxed import unboxed
from .vocabulary import NAMES, PLACES, WORDS

ContentType = Literal["words", "json", "csv", "codes", "mixed", "all"]

PROMPT = """\
Copy the text between <text> and </text> exactly: every character, space and line break as it stands there. \
The text may start or break off anywhere; that is intended, so repair nothing.
Your answer must be the copy alone: no tags, no quotes, no code fence, no comment.

<text>
{text}
</text>"""

TIPS = """\
Do not trust your first copy. Work like this:
1. Write the whole copy into answer["content"] as a raw triple-quoted string.
2. Print it, and its length, with `repr` where spaces and line breaks matter, and compare it part by part \
with the text in the prompt.
3. Mend each difference by a string operation (`replace`, slicing) instead of writing the whole text again.
4. Print once more; only when nothing differs any more set answer["ready"] = True."""


class VerbatimCopySettings(Settings):
    """The text to copy."""

    content_type: ContentType = Field(
        "all", description="Kind of text; `mixed` joins several kinds in one text, `all` takes each in turn"
    )
    target_length: int = Field(500, ge=20, le=20_000, description="Length of the text, in characters")
    mean_fragment_length: int | None = Field(
        20,
        ge=2,
        le=5_000,
        description="Mean length of the random slices (± 50 %) that the text is joined from, in characters; "
        "none: one text, not cut up",
    )


class VerbatimCopy(Environment[VerbatimCopySettings]):
    """The verbatim-copy environment. Examples are generated and seeded; every scaffold has the text in its
    prompt.
    """

    name: ClassVar[str] = "verbatim-copy"
    title: ClassVar[str] = "Verbatim copy"
    description: ClassVar[str] = "Repeat a generated text exactly, character by character."
    settings_type: ClassVar[type[Settings]] = VerbatimCopySettings
    tips: ClassVar[Mapping[str, str]] = {"tips": TIPS}

    def load(self, *, n: int, seed: int) -> Sequence[Example]:
        return [self._example(index, seed=seed) for index in range(n)]

    def _example(self, index: int, *, seed: int) -> Example:
        rng = random.Random(f"{self.name}|{seed}|{index}")
        kinds = [*GENERATORS, "mixed"]
        kind = kinds[index % len(kinds)] if self.settings.content_type == "all" else self.settings.content_type
        text = _text(
            rng,
            kind=kind,
            length=self.settings.target_length,
            fragment_length=self.settings.mean_fragment_length,
        )
        metadata = {
            "content_type": kind,
            "target_length": self.settings.target_length,
            "mean_fragment_length": self.settings.mean_fragment_length,
        }
        return Example(prompt=PROMPT.format(text=text), answer=text, metadata=metadata)

    def score(self, example: Example, answer: str) -> Score:
        gold = example.answer
        # Generated texts contain no box, so a boxed copy means its content.
        copy = unboxed(answer)
        same = sum(a == b for a, b in zip(gold, copy, strict=False))
        return Score(
            reward=float(copy == gold),
            metrics={
                "exact_match": float(copy == gold),
                "char_accuracy": same / max(len(gold), len(copy)),
                "levenshtein_similarity": Levenshtein.normalized_similarity(gold, copy),
            },
        )


def _text(rng: random.Random, *, kind: str, length: int, fragment_length: int | None) -> str:
    """Returns a text of exactly `length` characters that neither starts nor ends in white space."""
    if fragment_length is None:
        text = _sample(rng, kind=kind, length=length)[:length]
    else:
        text = _joined_fragments(rng, kind=kind, length=length, mean=fragment_length)
    edges = string.ascii_lowercase
    first = rng.choice(edges) if text[0].isspace() else text[0]
    last = rng.choice(edges) if text[-1].isspace() else text[-1]
    return first + text[1:-1] + last


def _joined_fragments(rng: random.Random, *, kind: str, length: int, mean: int) -> str:
    """Returns random slices of several samples, so that what came before does not predict the next character."""
    samples = [_sample(rng, kind=kind, length=2 * length) for _ in range(3)]
    text = ""
    while len(text) < length:
        source = rng.choice(samples)
        size = max(1, round(mean * rng.uniform(0.5, 1.5)))
        start = rng.randrange(max(1, len(source) - size))
        text += source[start : start + size]
    return text[:length]


def _sample(rng: random.Random, *, kind: str, length: int) -> str:
    """Returns at least `length` characters of one kind of text."""
    text = ""
    while len(text) < length:
        generator = GENERATORS[rng.choice(list(GENERATORS)) if kind == "mixed" else kind]
        text += generator(rng) + "\n"
    return text


def _words(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(8, 16)))


def _record(rng: random.Random) -> dict[str, str | int | float | bool]:
    return {
        "id": rng.randint(1000, 99999),
        "name": rng.choice(NAMES),
        "city": rng.choice(PLACES),
        "score": round(rng.uniform(0, 100), 2),
        "active": rng.random() < 0.5,
        "tag": rng.choice(WORDS),
    }


def _json(rng: random.Random) -> str:
    return json.dumps([_record(rng) for _ in range(2)], indent=rng.choice([None, 2]))


def _csv(rng: random.Random) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=list(_record(rng)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_record(rng) for _ in range(5))
    return file.getvalue().rstrip("\n")


def _codes(rng: random.Random) -> str:
    alphabet = string.ascii_letters + string.digits
    codes = ["".join(rng.choices(alphabet, k=rng.randint(6, 14))) for _ in range(6)]
    return rng.choice(["-", " ", ":", "_"]).join(codes)


GENERATORS: dict[str, Callable[[random.Random], str]] = {
    "words": _words,
    "json": _json,
    "csv": _csv,
    "codes": _codes,
}
