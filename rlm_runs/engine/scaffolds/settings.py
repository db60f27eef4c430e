"""The settings of each scaffold, with the article's numbers as defaults."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from string import Template
from typing import Any

from pydantic import Field, field_validator

from ..budget import BudgetLimits
from ..functions import check_source
from ..settings import Settings

PLACEHOLDERS = (
    "context",
    "sub_llms",
    "packages",
    "functions",
    "cell_time_limit",
    "output_limit",
    "max_turns",
)
"""What a system prompt of one's own may hold behind a `$`.

`context`, `sub_llms` and `functions` are the lines that say what of it is in the REPL, empty where there is
nothing; `packages` is a sentence; the others are numbers.
"""


class ScaffoldSettings(Settings):
    """What every scaffold has."""

    max_turns: int | None = Field(
        default=None, ge=1, le=1000, description="Model calls of the root; by default the environment's number."
    )
    cell_time_limit: float = Field(default=120, gt=0, le=3600, description="Seconds that a cell may run.")
    tool_time_limit: float = Field(
        default=60,
        gt=0,
        le=3600,
        description="Seconds that a call of an environment's tool may take; then the model is told so.",
    )
    output_limit: int = Field(
        default=8192, ge=100, le=1_000_000, description="Characters of a cell's output that the model is shown."
    )
    max_tokens: int | None = Field(default=None, ge=1, description="Tokens of a rollout, all models together.")
    max_dollars: Decimal | None = Field(default=None, gt=0, description="Dollars of a rollout.")
    max_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="Seconds of a rollout.")
    packages: dict[str, str] = Field(
        default={},
        description="pip requirements beside those of the environment: a list, or a table of descriptions.",
    )

    @field_validator("packages", mode="before")
    @classmethod
    def _names_as_table(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {given: ""}
        if isinstance(given, list | tuple) and all(isinstance(name, str) for name in given):
            return dict.fromkeys(given, "")
        return given

    @field_validator("packages")
    @classmethod
    def _are_requirements(cls, given: dict[str, str]) -> dict[str, str]:
        for name in given:
            if not name[:1].isalnum() or not name.isprintable():
                raise ValueError(f"{name!r} is not a pip requirement such as 'numpy' or 'scipy>=1.10'")
        return given

    def all_packages(self, of_environment: Sequence[str]) -> tuple[str, ...]:
        """What the sandbox needs: the environment's packages and those of these settings."""
        return tuple(dict.fromkeys([*of_environment, *self.packages]))

    @property
    def limits(self) -> BudgetLimits:
        """What a rollout may spend."""
        return BudgetLimits(
            tokens=self.max_tokens,
            dollars=self.max_dollars,
            seconds=self.max_seconds,
            sub_calls=getattr(self, "max_sub_calls", None),
        )


class LlmSettings(ScaffoldSettings):
    """The plain model, with the environment's own tools in a loop."""

    system_prompt: str = Field(
        default="",
        max_length=1_000_000,
        description="A system prompt before the example's; by default there is none.",
    )


class RlmSettings(ScaffoldSettings):
    """A model that drives a REPL and calls sub-LLMs from it."""

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

    @field_validator("system_prompt")
    @classmethod
    def _has_our_placeholders_only(cls, given: str) -> str:
        template = Template(given)
        if not template.is_valid():
            raise ValueError("has a $ that begins no placeholder; write $$ for a $")
        unknown = sorted(set(template.get_identifiers()) - set(PLACEHOLDERS))
        if unknown:
            raise ValueError(f"has unknown placeholders {', '.join(unknown)}; allowed: {', '.join(PLACEHOLDERS)}")
        return given

    @field_validator("functions")
    @classmethod
    def _can_be_compiled(cls, given: str) -> str:
        return check_source(given)


class RlmTipsSettings(RlmSettings):
    """An RLM with the environment's tips appended to its prompt."""

    tips: str = Field(default="", description="Which of the environment's tips; by default its first.")


SETTINGS: dict[str, type[ScaffoldSettings]] = {
    "llm": LlmSettings,
    "rlm": RlmSettings,
    "rlm_tips": RlmTipsSettings,
}
