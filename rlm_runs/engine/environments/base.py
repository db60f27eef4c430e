"""The base of environments: examples, tools, tips and a reward. Each environment is one module of this folder.

    environment = REGISTRY["oolong"](OolongSettings(subset="generated"))
    examples = environment.load(n=50, seed=7)
    score = environment.score(examples[0], "42")

Only `score`, `judge_prompt` and `evidence` read the gold answer. It is in no prompt but a judge's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from ..settings import Settings as Settings

SettingsT = TypeVar("SettingsT", bound="Settings")


class EnvironmentFault(Exception):
    """An environment cannot do what its settings ask for. The message says what to change."""


class DataError(EnvironmentFault):
    """The examples cannot be loaded: a file is missing or malformed, or a dataset is out of reach."""


@dataclass(frozen=True)
class Example:
    """One prompt with its gold answer.

    `input_data` is the text that an RLM finds in the variable `context`, and that the LLM scaffold finds in its
    prompt; None if the prompt is complete without it. `metadata` holds values that figures group by.
    """

    prompt: str
    answer: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    input_data: str | None = None


@dataclass(frozen=True)
class Score:
    """The score of an answer: `reward` from 0 to 1, and the environment's own metrics by name."""

    reward: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """A function that a model may call. `parameters` is its JSON schema; `call` gets the arguments as keywords."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: Callable[..., str]


class Environment(ABC, Generic[SettingsT]):
    """Base of the environments. An instance holds its settings and no other state."""

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    settings_type: ClassVar[type[Settings]]
    tips: ClassVar[Mapping[str, str]] = {}
    """Tips by variant; the first is the default of scaffolds that take tips."""
    packages: ClassVar[tuple[str, ...]] = ()
    """pip requirements of the sandbox."""
    python_tool: ClassVar[bool] = False
    """Whether the LLM scaffold has a persistent Python tool."""
    max_turns: ClassVar[int] = 30
    """The maximum number of root turns of scaffolds that run code, and of the plain model with tools."""

    def __init__(self, settings: SettingsT) -> None:
        self.settings = settings

    @classmethod
    def offline(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the closest settings whose examples and tools need no network."""
        return dict(settings)

    @abstractmethod
    def load(self, *, n: int, seed: int) -> Sequence[Example]:
        """Returns `n` examples, always the same for the same settings and seed. Raises DataError."""

    @abstractmethod
    def score(self, example: Example, answer: str) -> Score:
        """Returns the score of an answer, which may be any text."""

    def judge_prompt(self, example: Example, answer: str) -> str | None:
        """Returns the prompt of a judge that answers yes or no; None if `score` decides alone.

        With a judge, the verdict is the reward (1 or 0) and `score` gives the metrics.
        """
        return None

    def evidence(self, example: Example) -> Sequence[tuple[int, int]]:
        """Returns the ranges of the input data on which the gold answer rests, as (start, end) in characters.

        A replay marks them. Empty if the environment does not know them.
        """
        return ()

    def tools(self) -> Sequence[Tool]:
        """Returns the tools of the LLM scaffold and of an RLM's sub-LLMs."""
        return ()
