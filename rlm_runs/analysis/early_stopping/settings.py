"""The table `[early_stopping]` of a spec. An experiment without it runs all its rollouts."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_OF_ONE_METHOD = {
    "alpha": "betting",
    "margin": "betting",
    "eta": "halving",
    "keep": "halving",
}


class EarlyStopping(BaseModel):
    """The rules by which arms end before their last rollout.

        [early_stopping]
        method = "betting"
        alpha = 0.05
        min_examples = 20
        margin = 0.05

    `betting` compares each arm with its baseline and ends it when the comparison is decided; `halving` keeps the
    best arms of each environment at rungs of `min_examples`, `min_examples` × `eta`, … rollouts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["betting", "halving"] = Field(
        default="betting",
        description="betting: end arms whose comparison is decided, with a controlled error rate."
        " halving: prune the weakest arms, without one.",
    )
    alpha: float = Field(
        default=0.05, gt=0, le=0.5, description="Chance that any decision of the experiment is wrong, at most."
    )
    baseline: str | None = Field(
        default=None,
        description="Scaffold that the others are compared with; by default the one that the page takes."
        " Halving never prunes it if it is named.",
    )
    min_examples: int = Field(default=20, ge=1, description="Examples before an arm can end.")
    margin: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Smallest difference of interest; arms that differ by less end too.",
    )
    unscored: Literal["exclude", "zero"] = Field(
        default="exclude", description="How failed and too long rollouts count."
    )
    eta: int = Field(default=2, ge=2, le=10, description="One in this many arms passes a rung.")
    keep: int = Field(default=1, ge=1, description="Arms of an environment that are never pruned.")

    @model_validator(mode="after")
    def _settings_of_the_method(self) -> Self:
        for name, method in _OF_ONE_METHOD.items():
            if name in self.model_fields_set and method != self.method:
                raise ValueError(f"{name} is a setting of the method {method}")
        return self

    def written(self) -> dict[str, Any]:
        """Returns the settings of its method, every default written out."""
        others = {name for name, method in _OF_ONE_METHOD.items() if method != self.method}
        return self.model_dump(mode="json", exclude_none=True, exclude=others)

    @classmethod
    def of(cls, spec: dict[str, Any]) -> EarlyStopping | None:
        """Returns the settings in a stored spec; None without early stopping."""
        table = spec.get("early_stopping")
        return None if table is None else cls.model_validate(table)
