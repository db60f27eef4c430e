"""The scaffolds `rlm` and `rlm_tips`: a model that drives a persistent REPL and calls sub-LLMs from it.

The rules are those of the article: input data only as the variable `context`, the environment's tools only for
the sub-LLMs, the answer only in the dict `answer`.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from string import Template

from ..clients.base import Completion
from ..conversation import Conversation
from ..environments.base import Environment, Example, Settings
from ..events import Message
from ..repl import Repl, repl_tool
from ..sub_llms import SubLlms
from .base import Ended, Task
from .settings import RlmSettings, RlmTipsSettings

REPL_TOOL = "call_python_repl"
_SYSTEM = Template((Path(__file__).parent / "prompts/rlm_system.txt").read_text().strip())
_NUDGE = (
    f'You did not call {REPL_TOOL}. Nothing but answer["content"] counts as your answer: go on by calling '
    f'{REPL_TOOL}, and set answer["ready"] = True there when your answer is final.'
)
_SILENT_TURNS = 3
"""Turns in a row without a tool call after which the rollout ends."""
_CONTEXT_WARNING = (
    "Your context window is {percent:.0f} % full ({used:,} of {window:,} tokens). Finish soon: write the best "
    'answer that you have into answer["content"] and set answer["ready"] = True.'
)


def system_prompt(environment: Environment[Settings], example: Example, settings: RlmSettings) -> str:
    """The rules of the REPL, with this rollout's limits, data, tools and packages."""
    data = example.input_data
    tools = environment.tools()
    return _SYSTEM.substitute(
        context=""
        if data is None
        else f"- `context` is a string of {len(data):,} characters: the input data of the task.\n",
        sub_tools="".join(f"\n  - Sub-LLMs can call `{tool.name}`: {tool.description}" for tool in tools),
        packages="".join(f", {package}" for package in environment.packages),
        cell_time_limit=f"{settings.cell_time_limit:g}",
        output_limit=f"{settings.output_limit:,}",
        max_turns=settings.max_turns or environment.max_turns,
    )


def user_prompt(environment: Environment[Settings], example: Example, settings: RlmSettings) -> str:
    """The example's prompt, with tips where the scaffold gives them."""
    if not isinstance(settings, RlmTipsSettings):
        return example.prompt
    variant = settings.tips or next(iter(environment.tips))
    return f"{example.prompt}\n\n<env_tips>\n{environment.tips[variant].strip()}\n</env_tips>"


def run_rlm(task: Task, settings: RlmSettings) -> Ended:
    """Runs cells until `answer` is ready or the turns are over; either way its content is the answer."""
    environment, example, run = task.environment, task.example, task.run
    tool = repl_tool(name=REPL_TOOL, description="Runs a cell in your persistent Python REPL.")
    task.root = Conversation(
        run,
        kind="root",
        opening=[
            Message("system", system_prompt(environment, example, settings)),
            Message("user", user_prompt(environment, example, settings)),
        ],
        tools=[tool],
    )
    sandbox = task.open_sandbox()
    sandbox.load({} if example.input_data is None else {"context": example.input_data}, rlm=True)
    sub_llms = SubLlms(
        run,
        tools=environment.tools(),
        parallelism=settings.sub_parallelism,
        max_turns=settings.sub_max_turns,
    )
    repl = Repl(
        run,
        sandbox,
        tool_name=REPL_TOOL,
        time_limit=settings.cell_time_limit,
        output_limit=settings.output_limit,
        sub_llms=sub_llms,
    )
    task.answer = lambda: repl.answer.content
    # The sandbox first: a cell that still runs ends with it, and the others wait for the cell.
    with closing(sub_llms), closing(repl), closing(sandbox):
        return _loop(task, task.root, repl, settings)


def _loop(task: Task, root: Conversation, repl: Repl, settings: RlmSettings) -> Ended:
    max_turns = settings.max_turns or task.environment.max_turns
    reply = _Reply(window=task.run.models.window, warn_at=settings.context_warning)
    for _ in range(max_turns):
        completion = root.call(reply=reply)
        for position, call in enumerate(completion.tool_calls):
            repl.call(root, call, position=position)
        if repl.answer.ready:
            return Ended(repl.answer.content, "answer_ready")
        if reply.silent_turns == _SILENT_TURNS:
            return Ended(repl.answer.content, "no_tool_call")
    return Ended(repl.answer.content, "max_turns")


class _Reply:
    """What the host says after a turn: a nudge where no cell was run, a warning once when the window fills up."""

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
