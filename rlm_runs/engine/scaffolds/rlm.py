"""The scaffold `rlm`: a model that drives a persistent REPL and calls sub-LLMs from it.

The rules follow the RLM article: input data only in the variable `context`, the environment's tools only for
sub-LLMs, the answer only in the dict `answer`. At depth 0 there are no sub-LLMs, and the root has the tools. From
depth 2 on, sub-LLMs above the last level are RLMs by the same rules, with their prompt as `context`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sandbox.contract import Answer, Sandbox

from ..cancellation import CancellationToken
from ..clients.base import Completion
from ..conversation import Conversation, ConversationResult
from ..environments.base import Environment, Example, Settings, Tool
from ..errors import BudgetSpent, WindowExceeded
from ..events import Message
from ..plain_sub_llm import PlainSubLlm
from ..repl import BatchServer, Repl, ReplSettings, repl_tool
from ..rollout_context import RolloutContext
from ..sub_llms import SubLlm, SubLlms
from ..toolbox import Toolbox, schemas
from .base import Mark, PublishedMeans, Scaffold, Task
from .rlm_prompts import REPL_TOOL, root_system_prompt, sub_system_prompt
from .rlm_settings import RlmSettings

_NUDGE = (
    f'You did not call {REPL_TOOL}. Nothing but answer["content"] counts as your answer: go on by calling '
    f'{REPL_TOOL}, and set answer["ready"] = True there when your answer is final.'
)
_SILENT_TURNS = 3
"""The number of consecutive turns without a tool call after which the rollout ends."""
_CONTEXT_WARNING = (
    "Your context window is {percent:.0f} % full ({used:,} of {window:,} tokens). Finish soon: write the best "
    'answer that you have into answer["content"] and set answer["ready"] = True.'
)


class RlmScaffold(Scaffold[RlmSettings]):
    """A Recursive Language Model as in Zhang, Kraska and Khattab, https://arxiv.org/abs/2512.24601."""

    key = "rlm"
    title = "RLM"
    description = "The model drives a Python REPL and calls sub-LLMs from it."
    settings_type = RlmSettings
    mark = Mark("■", "square")
    colour = "#0072b2"
    runs_code = True
    calls_sub_llms = True
    submits_answer = True
    published = PublishedMeans(16.9 + 18.0, 156_766, 11_833, 2_564, 4_899)

    def user_prompt(self, environment: Environment[Settings], example: Example) -> str:
        """Returns the prompt of the root."""
        return example.prompt

    def run(self, task: Task) -> ConversationResult:
        """Drives the root. Its cells call sub-LLMs, which may be RLMs themselves at a depth of 2 or more."""
        settings = self.settings
        environment, example, run = task.environment, task.example, task.run
        root = RecursiveModel(
            opening=[
                Message("system", root_system_prompt(environment, example, settings)),
                Message("user", self.user_prompt(environment, example)),
            ],
            data=example.input_data,
            settings=settings,
            max_turns=settings.max_turns or environment.max_turns,
            open_sandbox=task.open_sandbox,
            own_tools=() if settings.depth else environment.tools(),
        )
        task.root = Conversation(run, kind="root", opening=root.opening, tools=root.tools)
        task.answer = lambda: root.answer.content
        below = [
            partial(_sub_rlm, task=task, settings=settings, depth=depth) for depth in range(1, settings.depth)
        ]
        plain = partial(
            PlainSubLlm,
            tools=environment.tools(),
            max_turns=settings.sub_max_turns,
            tool_time_limit=settings.tool_time_limit,
        )
        by_depth: list[Callable[[str], SubLlm]] = [*below, plain] if settings.depth else []
        sub_llms = SubLlms(run, by_depth=by_depth, parallelism=settings.sub_parallelism)
        with closing(sub_llms):
            return root.converse(run, task.root, server=sub_llms.below(0))


def _sub_rlm(prompt: str, *, task: Task, settings: RlmSettings, depth: int) -> RecursiveModel:
    system = sub_system_prompt(task.environment, prompt, settings, depth=depth)
    return RecursiveModel(
        opening=[Message("system", system), Message("user", prompt)],
        data=prompt,
        settings=settings,
        max_turns=settings.sub_rlm_max_turns,
        open_sandbox=task.open_sandbox,
    )


@dataclass
class RecursiveModel:
    """One RLM, the root or a sub-LLM. It runs cells until `answer` is ready or its turns end.

    Its answer is the content of `answer` in both cases. `data` is the value of `context`. It can call `own_tools`
    itself.
    """

    opening: Sequence[Message]
    data: str | None
    settings: RlmSettings
    max_turns: int
    open_sandbox: Callable[[CancellationToken], AbstractContextManager[Sandbox]]
    own_tools: Sequence[Tool] = ()
    answer: Answer = field(default_factory=Answer)

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """See `SubLlm`."""
        tool = repl_tool(name=REPL_TOOL, description="Runs a cell in your persistent Python REPL.")
        return [tool, *schemas(self.own_tools)]

    def converse(
        self, run: RolloutContext, conversation: Conversation, *, server: BatchServer | None
    ) -> ConversationResult:
        """See `SubLlm`. A spent budget or a full window ends the conversation with the answer so far."""
        with self.open_sandbox(run.control) as sandbox:
            sandbox.load({} if self.data is None else {"context": self.data}, rlm=True)
            repl = Repl(
                run,
                sandbox,
                rules=self._rules(),
                answers=True,
                server=server,
                beside=Toolbox(run, self.own_tools, time_limit=self.settings.tool_time_limit),
            )
            with closing(repl):
                try:
                    repl.prepare()
                    return self._loop(conversation, repl)
                except (BudgetSpent, WindowExceeded) as ended:
                    return ConversationResult(self.answer.content, ended.stop_reason)

    def _rules(self) -> ReplSettings:
        settings = self.settings
        return ReplSettings(REPL_TOOL, settings.cell_time_limit, settings.output_limit, settings.all_functions)

    def _loop(self, conversation: Conversation, repl: Repl) -> ConversationResult:
        reply = _Reply(window=conversation.model.window, warn_at=self.settings.context_warning)
        for _ in range(self.max_turns):
            completion = conversation.call(reply=reply)
            for position, call in enumerate(completion.tool_calls):
                repl.call(conversation, call, position=position)
                self.answer = repl.answer
            if self.answer.ready:
                return ConversationResult(self.answer.content, "answer_ready")
            if reply.silent_turns == _SILENT_TURNS:
                return ConversationResult(self.answer.content, "no_tool_call")
        return ConversationResult(self.answer.content, "max_turns")


class _Reply:
    """The host's reply after a turn: a reminder if no cell ran, and one warning when the window fills up."""

    def __init__(self, *, window: int | None, warn_at: float) -> None:
        self._window = window
        self._warn_at = warn_at
        self._warned = False
        self.silent_turns = 0

    def __call__(self, completion: Completion) -> str:
        self.silent_turns = 0 if completion.tool_calls else self.silent_turns + 1
        parts = [] if completion.tool_calls or self.silent_turns == _SILENT_TURNS else [_NUDGE]
        parts += self._warning(completion)
        return "\n\n".join(parts)

    def _warning(self, completion: Completion) -> list[str]:
        used = (completion.usage.prompt or 0) + (completion.usage.completion or 0)
        if self._warned or self._window is None or used < self._warn_at * self._window:
            return []
        self._warned = True
        percent = 100 * used / self._window
        return [_CONTEXT_WARNING.format(percent=percent, used=used, window=self._window)]
