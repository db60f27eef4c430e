"""The options of the actions on an experiment, as given by a form, the command or the API."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from ..execution.selection import Selection


def _split_list(value: Any) -> Any:
    """Splits `a,b` into ["a", "b"], the way in which a form and the command write a list."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        parts = [part for one in value for part in (one.split(",") if isinstance(one, str) else [one])]
        return [part.strip() if isinstance(part, str) else part for part in parts if part != ""]
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split_list)]
Numbers = Annotated[tuple[int, ...], BeforeValidator(_split_list)]
Entries = Annotated[tuple[str | dict[str, Any], ...], BeforeValidator(_split_list)]


class Options(BaseModel):
    """Base of the options of an action; also those of an action without options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PriorityOptions(Options):
    """The priority of an experiment."""

    value: int = Field(description="From -100 to 100; the highest goes first.")


class BudgetOptions(Options):
    """Budgets of an experiment. A budget that is not given stays as it is."""

    dollars: str | None = Field(default=None, description="Dollars in all, judges included; none for no limit.")
    tokens: str | None = Field(default=None, description="Prompt and completion tokens in all; none for no limit.")
    hours: str | None = Field(
        default=None, description="Hours in which any of its rollouts runs; none for no limit."
    )

    @field_validator("dollars", "tokens", "hours", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class DescribeOptions(Options):
    """The details of an experiment that lists show. Omitted ones stay unchanged."""

    description: str | None = Field(default=None, max_length=20_000, description="Its question, in a sentence.")
    tags: Names | None = Field(default=None, description="All its tags, with commas between them.")
    owner: str | None = Field(default=None, max_length=150, description="User name.")


class SelectionOptions(Options):
    """A selection of an experiment's rollouts."""

    arm: int | None = Field(default=None, description="Id of an arm; without one, all arms.")
    rollouts: Numbers = Field(default=(), description="Ids of rollouts; without any, all.")

    @property
    def selection(self) -> Selection:
        """The selection of rollouts."""
        return Selection(arm=self.arm, rollouts=self.rollouts)


class RetryOptions(SelectionOptions):
    """The rollouts to retry."""

    outcomes: Names = Field(
        default=("failed",), description="Outcomes to retry: failed, too_long, unjudged, cancelled."
    )


class RescoreOptions(SelectionOptions):
    """The rollouts to rescore, and the judge."""

    judge_model: str = Field(default="", description="The judge; without one, the arm's.")


class AddOptions(Options):
    """Additions to an experiment."""

    examples: int | None = Field(default=None, ge=1, description="Examples in all.")
    repetitions: int | None = Field(default=None, ge=1, description="Repetitions in all.")
    models: Entries = Field(default=(), description="Further models.")
    scaffolds: Entries = Field(default=(), description="Further scaffolds.")
    environments: Entries = Field(default=(), description="Further environments.")


class CloneOptions(Options):
    """The name of the experiment to launch."""

    name: str = Field(default="", max_length=200, description="Its name; without one, the same.")
