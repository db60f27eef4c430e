"""DeepDive: questions that take many searches, because no single page holds the answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .base import DataError, Environment, Example, Score, Settings, Tool
from .deepdive_corpus import Corpus
from .deepdive_graph import graph
from .deepdive_questions import question
from .hub import sample_hub
from .judging import judge_prompt
from .local_files import Row, read_rows, sample
from .oolong_scoring import contains_answer, exact_match
from .page_cuts import OPEN_DESCRIPTION, OPEN_SCHEMA, SEARCH_DESCRIPTION, SEARCH_SCHEMA
from .web_tools import WebTools, check_prerequisites

PROMPT = """\
{question}

The answer has to be researched: search for pages, open them, and follow what they say from page to page. Give \
one final answer, as short as possible."""

TIPS = """\
Research in rounds, and let sub-LLMs do the searching, with their tools `search` and `open`.
1. Decompose: list the facts that the question rests on, and what has to be known before what.
2. Give each independent fact to a sub-LLM of its own, all in one `llm_batch`. A sub-LLM sees only its prompt and \
has few turns: quote the clues in full, say exactly what to return, and ask for the URL that shows it.
3. Synthesise in Python: collect the findings, and note what is missing or contradicts itself.
4. Iterate: put what you know by now into the prompts of the next batch; have findings that everything hangs on \
checked by a second sub-LLM that does not know the first one's answer.
5. Finalise: write only the answer that was asked for into answer["content"], then set answer["ready"] = True."""


HUB_DATASET = "zai-org/DeepDive"
HUB_SPLIT = "qa_rl"
INSTEAD = 'Set `source` to "generated": it needs no network, no key and no package.'


class DeepDiveSettings(Settings):
    """The source of the questions, and the shape of generated ones."""

    source: Literal["generated", "local", "huggingface"] = Field(
        "generated",
        description="Where the questions come from: made from the seed, with pages to search offline; a local "
        "file; or zai-org/DeepDive of the hub. The last two are researched on the web, with SERPER_API_KEY",
    )
    path: str = Field(
        "", description="File of the source `local`: JSONL or CSV with the columns question and answer"
    )
    pages: int = Field(400, ge=100, le=1500, description="Pages of the generated world, as a count")
    world_seed: int = Field(1, ge=0, description="Which generated world: the run's seed draws the questions in it")
    trails: int = Field(
        2, ge=1, le=5, description="Independent trails that a generated question combines, as a count"
    )
    hops_min: int = Field(1, ge=1, le=6, description="Fewest hops of a trail from page to page, as a count")
    hops_max: int = Field(3, ge=1, le=6, description="Most hops of a trail, as a count")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hops_min > self.hops_max:
            raise ValueError("hops_min is greater than hops_max")
        if self.source == "local" and not self.path:
            raise ValueError("source 'local' needs `path`, a JSONL or CSV file")
        return self


class DeepDive(Environment[DeepDiveSettings]):
    """The DeepDive environment. It has no input data; `search` and `open` are for the LLM scaffold and the
    sub-LLMs.
    """

    name: ClassVar[str] = "deepdive"
    title: ClassVar[str] = "DeepDive"
    description: ClassVar[str] = "Research questions, answered by searching and opening pages."
    settings_type: ClassVar[type[Settings]] = DeepDiveSettings
    tips: ClassVar[Mapping[str, str]] = {"tips": TIPS}
    max_turns: ClassVar[int] = 50

    @classmethod
    def offline(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"source": "generated"}

    def load(self, *, n: int, seed: int) -> Sequence[Example]:
        if self.settings.source == "generated":
            return self._generated(n, seed=seed)
        check_prerequisites(instead=INSTEAD)
        if self.settings.source == "local":
            return [_from_row(row) for row in _sample_local(self.settings.path, n=n, seed=seed)]
        rows = sample_hub(HUB_DATASET, split=HUB_SPLIT, n=n, seed=seed, instead=INSTEAD)
        return [_from_row(row) for row in rows]

    def _generated(self, n: int, *, seed: int) -> list[Example]:
        """Returns distinct questions. The n-th question is the same whatever the number of questions."""
        settings = self.settings
        world = graph(pages=settings.pages, seed=settings.world_seed)
        rng = random.Random(f"{self.name}|{seed}")
        hops = range(settings.hops_min, settings.hops_max + 1)
        made: dict[str, Example] = {}
        for _ in range(20 * n + 1000):
            if len(made) == n:
                return list(made.values())
            asked = question(rng, graph=world, hops=hops, trails=settings.trails)
            metadata = {"source": "generated", "asks": asked.asks, "hops": asked.hops, "trails": settings.trails}
            made.setdefault(
                asked.text,
                Example(prompt=PROMPT.format(question=asked.text), answer=asked.answer, metadata=metadata),
            )
        raise DataError(
            f"{n} examples are asked for, and so small a world does not have as many questions; raise `pages`, "
            "`trails` or `hops_max`."
        )

    def score(self, example: Example, answer: str) -> Score:
        exact = float(exact_match(answer, gold=example.answer))
        contains = float(contains_answer(answer, gold=example.answer))
        return Score(reward=exact, metrics={"exact_match": exact, "contains_answer": contains})

    def judge_prompt(self, example: Example, answer: str) -> str | None:
        return judge_prompt(question=example.prompt, gold=example.answer, response=answer)

    def tools(self) -> Sequence[Tool]:
        if self.settings.source != "generated":
            web = WebTools()
            return search_tools(search=web.search, open_pages=web.open)
        corpus = _corpus(pages=self.settings.pages, seed=self.settings.world_seed)
        return search_tools(search=corpus.search, open_pages=corpus.open)


def search_tools(*, search: Callable[..., str], open_pages: Callable[..., str]) -> Sequence[Tool]:
    """Returns the two tools, over the given search and open functions."""
    return (
        Tool("search", SEARCH_DESCRIPTION, SEARCH_SCHEMA, search),
        Tool("open", OPEN_DESCRIPTION, OPEN_SCHEMA, open_pages),
    )


def _sample_local(path: str, *, n: int, seed: int) -> list[Row]:
    rows = read_rows(path)
    for row in rows:  # a bad file is refused whatever the sample
        _from_row(row)
    return sample(rows, n=n, seed=seed, source=path)


def _from_row(row: Row) -> Example:
    return Example(
        prompt=PROMPT.format(question=row.text("question").strip()),
        answer=row.text("answer").strip(),
        metadata={"source": row.path.name, row.unit: row.line},
    )


@lru_cache(maxsize=4)
def _corpus(*, pages: int, seed: int) -> Corpus:
    return Corpus(graph(pages=pages, seed=seed).pages)
