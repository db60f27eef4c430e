"""The settings of each scaffold, with the article's numbers as defaults."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from ..budget import BudgetLimits


class ScaffoldSettings(BaseModel):
    """What every scaffold has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_turns: int | None = Field(
        default=None, ge=1, le=1000, description="Model calls of the root; by default the environment's number."
    )
    cell_time_limit: float = Field(default=120, gt=0, le=3600, description="Seconds that a cell may run.")
    output_limit: int = Field(
        default=8192, ge=100, le=1_000_000, description="Characters of a cell's output that the model is shown."
    )
    max_tokens: int | None = Field(default=None, ge=1, description="Tokens of a rollout, all models together.")
    max_dollars: Decimal | None = Field(default=None, gt=0, description="Dollars of a rollout.")
    max_seconds: float | None = Field(default=None, gt=0, description="Seconds of a rollout.")

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


class RlmTipsSettings(RlmSettings):
    """An RLM with the environment's tips appended to its prompt."""

    tips: str = Field(default="", description="Which of the environment's tips; by default its first.")


SETTINGS: dict[str, type[ScaffoldSettings]] = {
    "llm": LlmSettings,
    "rlm": RlmSettings,
    "rlm_tips": RlmTipsSettings,
}
