"""The base of scaffolds: how a model is driven to an answer, and what other parts need to know about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from sandbox.contract import Sandbox

from ..cancellation import CancellationToken
from ..conversation import Conversation, ConversationResult
from ..environments.base import Environment, Example, Settings
from ..rollout_context import RolloutContext
from .settings import ScaffoldSettings

ScaffoldSettingsT = TypeVar("ScaffoldSettingsT", bound=ScaffoldSettings)


@dataclass
class Task:
    """The work of a scaffold: the example in its environment, and the means to work on it.

    `open_sandbox` gives a fresh sandbox for the duration of a block, which ends when the control is stopped. The
    scaffold sets `root` as soon as the conversation begins, so that a failure can end it, and `answer`, which
    returns the answer so far.
    """

    run: RolloutContext
    environment: Environment[Settings]
    example: Example
    open_sandbox: Callable[[CancellationToken], AbstractContextManager[Sandbox]]
    root: Conversation | None = None
    answer: Callable[[], str] = str


@dataclass(frozen=True)
class Mark:
    """A scaffold's mark: `glyph` in text, `symbol` in figures (one of plotly's names)."""

    glyph: str
    symbol: str


@dataclass(frozen=True)
class PublishedMeans:
    """Means per rollout that an estimate uses before the store has rollouts. Tokens are those of all calls."""

    calls: float
    main_prompt_tokens: float
    main_completion_tokens: float
    sub_prompt_tokens: float
    sub_completion_tokens: float


class Scaffold(ABC, Generic[ScaffoldSettingsT]):
    """Base of the scaffolds. Each is declared by one module of this folder; the registry is the only list of them.

    `key` names the scaffold in specs, in the store and in the API: lower-case letters, digits and underscores.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    settings_type: ClassVar[type[ScaffoldSettings]]

    mark: ClassVar[Mark | None] = None
    """The mark. Without one, the registry assigns the next free mark."""
    colour: ClassVar[str] = ""
    """The colour as `#rrggbb`. Without one, the registry assigns the next readable colour."""

    runs_code: ClassVar[bool] = False
    """Whether the root model always works in a REPL."""
    uses_python_tool: ClassVar[bool] = True
    """Whether an environment's Python tool gives the root model a REPL."""
    calls_sub_llms: ClassVar[bool] = False
    """Whether cells can call sub-LLMs, as far as the settings allow."""
    submits_answer: ClassVar[bool] = False
    """Whether the model submits its answer through the REPL's `answer`."""
    takes_tips: ClassVar[bool] = False
    """Whether the environment's tips are added to the prompt; the setting `tips` names a variant."""
    is_baseline: ClassVar[bool] = False
    """Whether other scaffolds are compared with this one."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """Names of this scaffold in the files of other tools."""
    published: ClassVar[PublishedMeans | None] = None
    """Means per rollout from a publication."""

    def __init__(self, settings: ScaffoldSettingsT) -> None:
        self.settings = settings

    @classmethod
    def sub_llm_levels(cls, settings: Mapping[str, Any]) -> int:
        """Returns the levels of sub-LLMs below the root under stored settings, 0 for none."""
        if not cls.calls_sub_llms:
            return 0
        depth = settings.get("depth")
        return depth if isinstance(depth, int) else 1

    def needs_sandbox(self, environment: Environment[Any]) -> bool:
        """Returns whether code runs in a rollout on this environment."""
        return self.runs_code or (self.uses_python_tool and environment.python_tool)

    @property
    def sub_llms_run_code(self) -> bool:
        """Whether sub-LLMs have REPLs of their own."""
        return self.sub_llm_levels(self.settings.model_dump()) > 1

    def packages(self, environment: Environment[Any]) -> Sequence[str]:
        """Returns the pip requirements of the sandbox."""
        return self.settings.all_packages(environment.packages)

    @abstractmethod
    def run(self, task: Task) -> ConversationResult:
        """Drives the model through one example. Raises RolloutFailure or SandboxError."""
