"""The base of environments: examples, tools, tips and a reward. One module of this folder per environment.

    environment = REGISTRY["oolong"](OolongSettings(subset="generated"))
    examples = environment.load(n=50, seed=7)
    score = environment.score(examples[0], "42")

Only `score` reads the gold answer; nothing sent to a model is made from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from ..settings import Settings as Settings

SettingsT = TypeVar("SettingsT", bound="Settings")


class EnvironmentFault(Exception):
    """An environment cannot do what its settings ask for; the message says what to change."""


class DataError(EnvironmentFault):
    """The examples cannot be had: a file that is missing or malformed, a dataset out of reach."""


@dataclass(frozen=True)
class Example:
    """One prompt with its gold answer.

    `input_data` is the text that an RLM finds in the variable `context`, and that the LLM scaffold finds
    inlined in its prompt; None where the prompt says it all. `metadata` holds what figures may group by.
    """

    prompt: str
    answer: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    input_data: str | None = None


@dataclass(frozen=True)
class Score:
    """`reward` from 0 to 1, and the environment's own metrics by name."""

    reward: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """A function that a model may call: `parameters` is its JSON schema, `call` gets them as keywords."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: Callable[..., str]


class Environment(ABC, Generic[SettingsT]):
    """Base of the environments. Holds its settings and nothing that changes."""

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
    """Root turns of scaffolds that run code, and of the plain model with tools."""

    def __init__(self, settings: SettingsT) -> None:
        self.settings = settings

    @classmethod
    def offline(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings nearest to these whose examples and tools need no network."""
        return dict(settings)

    @abstractmethod
    def load(self, *, n: int, seed: int) -> Sequence[Example]:
        """`n` examples, the same for the same settings and seed. Raises DataError."""

    @abstractmethod
    def score(self, example: Example, answer: str) -> Score:
        """Returns the reward of an answer, whatever text it is."""

    def judge_prompt(self, example: Example, answer: str) -> str | None:
        """Returns the prompt of a judge, which answers yes or no; None if `score` decides by itself.

        With a judge, its verdict is the reward, 1 or 0, and `score` gives the metrics.
        """
        return None

    def evidence(self, example: Example) -> Sequence[tuple[int, int]]:
        """Returns the ranges of the input data, (from, to) in characters, on which the gold answer rests.

        A replay marks them. Empty where the environment does not know.
        """
        return ()

    def tools(self) -> Sequence[Tool]:
        """Tools of the LLM scaffold, and of the sub-LLMs of an RLM."""
        return ()
