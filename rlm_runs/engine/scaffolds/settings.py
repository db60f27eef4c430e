"""The settings that every scaffold has, with the article's numbers as defaults."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from pydantic import Field, field_validator

from ..budget import BudgetLimits
from ..settings import Settings


class ScaffoldSettings(Settings):
    """Settings of every scaffold."""

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
        """Returns the pip requirements of the sandbox: the environment's packages and those of these settings."""
        return tuple(dict.fromkeys([*of_environment, *self.packages]))

    @property
    def limits(self) -> BudgetLimits:
        """The budget of a rollout."""
        return BudgetLimits(
            tokens=self.max_tokens,
            dollars=self.max_dollars,
            seconds=self.max_seconds,
            sub_calls=getattr(self, "max_sub_calls", None),
        )
