"""The scaffold `llm`: the plain model in a loop with the environment's tools, with the input data in its
prompt.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from string import Template

from pydantic import Field

from ..clients.base import Completion
from ..conversation import Conversation, ConversationResult, no_reply
from ..environments.base import Example
from ..events import Message
from ..repl import Repl, ReplSettings, repl_tool
from ..toolbox import Toolbox, refuse
from .base import Mark, PublishedMeans, Scaffold, Task
from .rlm_prompts import packages_text
from .settings import ScaffoldSettings

PYTHON_TOOL = "python"
_WITH_INPUT = Template((Path(__file__).parent / "prompts/llm_with_input.txt").read_text().strip())
_LAST_CALL = "You have used all your turns with tools. Give your final answer now."


def prompt_of(example: Example) -> str:
    """Returns the prompt, followed by the input data if there is any."""
    if example.input_data is None:
        return example.prompt
    return _WITH_INPUT.substitute(prompt=example.prompt, input_data=example.input_data)


class LlmSettings(ScaffoldSettings):
    """Settings of the plain model in a loop with the environment's tools."""

    system_prompt: str = Field(
        default="",
        max_length=1_000_000,
        description="A system prompt before the example's; by default there is none.",
    )


class LlmScaffold(Scaffold[LlmSettings]):
    """The plain model, with the input data in its prompt."""

    key = "llm"
    title = "LLM"
    description = "The model alone, with the environment's own tools."
    settings_type = LlmSettings
    mark = Mark("●", "circle")
    colour = "#d55e00"
    is_baseline = True
    aliases = ("standard",)
    published = PublishedMeans(1, 75_454, 1_305, 0, 0)

    def run(self, task: Task) -> ConversationResult:
        """Lets the model call tools until it answers without one, or until its turns end and it must answer."""
        settings = self.settings
        opening = [Message("system", settings.system_prompt)] if settings.system_prompt else []
        opening.append(Message("user", prompt_of(task.example)))
        toolbox = Toolbox(task.run, task.environment.tools(), time_limit=settings.tool_time_limit)
        if task.environment.python_tool:
            return _with_python(task, settings, opening, beside=toolbox)
        task.root = Conversation(task.run, kind="root", opening=opening, tools=toolbox.schemas)
        return _loop(task, task.root, toolbox, settings)


def _with_python(
    task: Task, settings: LlmSettings, opening: list[Message], *, beside: Toolbox
) -> ConversationResult:
    description = (
        "Runs a cell in a persistent Python REPL and returns its output. Installed: the standard library"
        f"{packages_text(task.environment, settings)}. "
        f"A cell may run for {settings.cell_time_limit:g} seconds; of its output the first "
        f"{settings.output_limit:,} characters are returned."
    )
    tool = repl_tool(name=PYTHON_TOOL, description=description)
    task.root = Conversation(task.run, kind="root", opening=opening, tools=[tool, *beside.schemas])
    with task.open_sandbox(task.run.control) as sandbox:
        repl = Repl(
            task.run,
            sandbox,
            rules=ReplSettings(PYTHON_TOOL, settings.cell_time_limit, settings.output_limit),
            beside=beside,
        )
        with closing(repl):
            return _loop(task, task.root, repl, settings)


def _loop(task: Task, root: Conversation, tools: Toolbox | Repl, settings: LlmSettings) -> ConversationResult:
    has_tools = isinstance(tools, Repl) or bool(tools.schemas)
    turns_with_tools = (settings.max_turns or task.environment.max_turns) if has_tools else 0
    for turn in range(turns_with_tools):
        last = turn == turns_with_tools - 1
        completion = root.call(reply=_last_call if last else no_reply)
        if not completion.tool_calls:
            return ConversationResult(completion.content, "final_message")
        for position, call in enumerate(completion.tool_calls):
            tools.call(root, call, position=position)
    completion = root.call(with_tools=False)
    for position, call in enumerate(completion.tool_calls):
        refuse(task.run, root, call, position=position, why="no tool may be called now")
    return ConversationResult(completion.content, "max_turns" if has_tools else "final_message")


def _last_call(completion: Completion) -> str:
    return _LAST_CALL if completion.tool_calls else ""
