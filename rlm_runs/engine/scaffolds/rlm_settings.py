"""The settings of an RLM, with the article's numbers as defaults."""

from __future__ import annotations

from pathlib import Path
from string import Template

from pydantic import Field, field_validator

from ..functions import check_source
from .settings import ScaffoldSettings

PAPER_FUNCTIONS = (Path(__file__).parent / "prompts/paper_functions.py.txt").read_text()
"""Source of the functions that the RLM paper's library defines in its REPL."""

PLACEHOLDERS = (
    "context",
    "sub_llms",
    "packages",
    "functions",
    "cell_time_limit",
    "output_limit",
    "max_turns",
)
"""Placeholders that a custom system prompt may contain after a `$`.

`context`, `sub_llms` and `functions` are lines that describe the REPL, empty if there is nothing to describe;
`packages` is a sentence; the others are numbers.
"""


class RlmSettings(ScaffoldSettings):
    """Settings of a model that drives a REPL and calls sub-LLMs from it."""

    depth: int = Field(
        default=1,
        ge=0,
        le=8,
        description="Levels of sub-LLMs: 0 is none (the root has the environment's tools itself); "
        "from 2 on, those above the last level are RLMs themselves.",
    )
    sub_rlm_max_turns: int = Field(
        default=10, ge=1, le=1000, description="Model calls of a sub-LLM that is an RLM itself."
    )
    sub_parallelism: int = Field(default=5, ge=1, le=256, description="Sub-LLM calls of a rollout at once.")
    sub_max_turns: int = Field(
        default=5, ge=1, le=100, description="Turns with tools of a sub-LLM, after which it must answer."
    )
    max_sub_calls: int | None = Field(default=None, ge=0, description="Sub-LLM calls of a rollout.")
    context_warning: float = Field(
        default=0.8, gt=0, le=1, description="Part of the model's window at which it is told to finish."
    )
    system_prompt: str = Field(
        default="",
        max_length=1_000_000,
        description="The root's system prompt instead of ours; "
        f"it may hold ${', $'.join(PLACEHOLDERS)}, and $$ for a $.",
    )
    functions: str = Field(
        default="",
        max_length=500_000,
        description="Python source, run in each REPL before its first cell; its functions are told in the prompt.",
    )

    paper_functions: bool = Field(
        default=False,
        description="Whether the REPL also has `llm_query`, `llm_query_batched`, `FINAL` and `FINAL_VAR`, "
        "as in the library of the RLM paper.",
    )

    @property
    def all_functions(self) -> str:
        """The source that runs before the first cell."""
        return f"{PAPER_FUNCTIONS}\n{self.functions}" if self.paper_functions else self.functions

    @field_validator("system_prompt")
    @classmethod
    def _check_placeholders(cls, given: str) -> str:
        template = Template(given)
        if not template.is_valid():
            raise ValueError("has a $ that begins no placeholder; write $$ for a $")
        unknown = sorted(set(template.get_identifiers()) - set(PLACEHOLDERS))
        if unknown:
            raise ValueError(f"has unknown placeholders {', '.join(unknown)}; allowed: {', '.join(PLACEHOLDERS)}")
        return given

    @field_validator("functions")
    @classmethod
    def _check_functions(cls, given: str) -> str:
        return check_source(given)
