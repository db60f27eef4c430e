"""Specs of experiments, validated as a whole before anything is written.

    name = "oolong by scaffold"
    examples = 50
    seed = 7
    models = ["gpt-5-mini", { name = "gpt-4.1-mini", temperature = 0.2 }]
    scaffolds = ["llm", "rlm", { name = "rlm", cell_time_limit = 300 }]
    environments = ["verbatim-copy", { name = "oolong", labels = true }]

The arms are the cross product of environments, scaffolds and models. An entry is a name, or a table with the name
and its settings. A model's settings are its sampling, which overrides the experiment's, its sub-model and its
judge. A table `[early_stopping]` ends arms before their last rollout, and `[budget]` pauses the experiment. All
problems are reported together, each with its field and the allowed values.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..analysis.early_stopping import EarlyStopping


class Entry(BaseModel):
    """A name with settings. Without settings it is written as the bare name."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """The settings beside the name."""
        return dict(self.model_extra or {})


class Sampling(BaseModel):
    """Sampling parameters of every model call. Unset ones are not sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=None, ge=0, le=2, description="Randomness of the tokens.")
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Part of the probability that tokens are drawn from."
    )
    max_tokens: int | None = Field(default=None, ge=1, description="Tokens of a completion, at most.")
    max_completion_tokens: int | None = Field(
        default=None, ge=1, description="The same, by the name that OpenAI's newer models know it by."
    )
    reasoning_effort: str | None = Field(
        default=None, description="How long the model thinks, in its server's words, such as low or high."
    )
    stream: bool | None = Field(
        default=None, description="true: answers are sent as they are written. Not given: as the endpoint says."
    )
    extra_body: dict[str, Any] | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The parameters that are sent."""
        values = {name: getattr(self, name) for name in Sampling.model_fields}
        return {name: value for name, value in values.items() if value is not None}

    def before(self, other: Sampling) -> Sampling:
        """Returns these parameters over the other's, name by name, also within `extra_body`."""
        merged = {**other.given, **self.given}
        if "extra_body" in merged:
            merged["extra_body"] = {**(other.extra_body or {}), **(self.extra_body or {})}
        return Sampling(**merged)


class ModelEntry(Sampling):
    """A model with its own settings. Its sampling overrides the experiment's, name by name."""

    name: str
    sub_model: str | None = None
    judge_model: str | None = None


class Budget(BaseModel):
    """The total that the experiment may spend. It pauses before a call that would exceed it. None means no
    limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dollars: Decimal | None = Field(
        default=None, gt=0, lt=10**8, allow_inf_nan=False, description="Dollars, judges included."
    )
    tokens: int | None = Field(default=None, ge=1, lt=10**15, description="Prompt and completion tokens.")
    hours: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Hours in which any of its rollouts runs."
    )

    def written(self) -> dict[str, float | int]:
        """Returns the limits that are set."""
        limits = {"dollars": None if self.dollars is None else float(self.dollars)}
        return {
            name: value
            for name, value in {**limits, "tokens": self.tokens, "hours": self.hours}.items()
            if value is not None
        }


class ExperimentSpec(BaseModel):
    """The spec's own fields. `resolve` validates what the entries name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    description: str = ""
    examples: int = Field(ge=1, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**63)
    repetitions: int = Field(default=1, ge=1, le=1000)
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    sub_model: str | None = None
    judge_model: str | None = None
    scaffolds: tuple[Entry, ...] = Field(min_length=1)
    environments: tuple[Entry, ...] = Field(min_length=1)
    sampling: Sampling = Sampling()
    early_stopping: EarlyStopping | None = None
    budget: Budget = Budget()

    @field_validator("models", "scaffolds", "environments", mode="before")
    @classmethod
    def _names_as_entries(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"name": item} if isinstance(item, str) else item for item in value]

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be blank")
        return value.strip()

    def written(self) -> dict[str, Any]:
        """Returns the spec in a form that can be launched again.

        It uses only values that JSON and TOML share, and therefore the word `none` for None.
        """
        fields = self.model_dump(mode="json", exclude_none=True)
        models = [_written(entry.model_dump(mode="json", exclude_none=True)) for entry in self.models]
        entries = {
            "scaffolds": [_written(entry.model_dump(mode="json")) for entry in self.scaffolds],
            "environments": [_written(entry.model_dump(mode="json")) for entry in self.environments],
        }
        stopping = {"early_stopping": self.early_stopping.written()} if self.early_stopping else {}
        fields.pop("budget")
        budget = {"budget": written} if (written := self.budget.written()) else {}
        return {**fields, "models": models, **entries, **stopping, **budget}


def _written(entry: Mapping[str, Any]) -> str | dict[str, Any]:
    """Returns an entry as a table; as the bare name if it has no settings."""
    if len(entry) == 1:
        return str(entry["name"])
    return {name: "none" if value is None else value for name, value in entry.items()}


TABLES: dict[str, type[BaseModel]] = {
    "sampling": Sampling,
    "models": ModelEntry,
    "early_stopping": EarlyStopping,
    "budget": Budget,
}
"""The fields of a spec that are tables with their own settings."""
