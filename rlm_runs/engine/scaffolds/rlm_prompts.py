"""The prompts of an RLM: the rules of its REPL, with its limits, data, tools and packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template

from ..environments.base import Environment, Example, Settings, Tool
from ..functions import signatures
from .rlm_settings import RlmSettings
from .settings import ScaffoldSettings

REPL_TOOL = "call_python_repl"
_SYSTEM = Template((Path(__file__).parent / "prompts/rlm_system.txt").read_text().strip())

_ROOT = "You are a Recursive Language Model."
_SUB = (
    "You are a Recursive Language Model, and another one has called you with one task. Its program reads your "
    "answer by machine: answer directly and concisely."
)
_LLM_BATCH = (
    "- `llm_batch(prompts: list[str]) -> list[str]` sends each prompt to a sub-LLM, {parallelism} at a time, and "
    "returns their answers in the same order. A sub-LLM sees nothing but its prompt: put everything that it needs "
    "to know into it."
)
_SUB_RLMS = (
    " Each sub-LLM is a Recursive Language Model itself: it has a REPL of its own, its prompt there as `context`, "
    "and at most {turns} turns."
)
_NO_SUB_LLMS = "- There are no sub-LLMs: `llm_batch` cannot be called."
_OWN_TOOLS = " Beside the REPL you have tools of your own: {tools}."


def root_system_prompt(environment: Environment[Settings], example: Example, settings: RlmSettings) -> str:
    """Returns the system prompt of a rollout's root."""
    data = example.input_data
    return _system_prompt(
        environment,
        settings,
        depth=0,
        template=Template(settings.system_prompt) if settings.system_prompt else _SYSTEM,
        role=_ROOT,
        context="" if data is None else f"a string of {len(data):,} characters: the input data of the task",
        max_turns=settings.max_turns or environment.max_turns,
    )


def sub_system_prompt(
    environment: Environment[Settings], prompt: str, settings: RlmSettings, *, depth: int
) -> str:
    """Returns the system prompt of a sub-LLM that is an RLM itself."""
    return _system_prompt(
        environment,
        settings,
        depth=depth,
        role=_SUB,
        context=f"a string of {len(prompt):,} characters: the task as you are given it, to work on by program",
        max_turns=settings.sub_rlm_max_turns,
    )


def packages_text(environment: Environment[Settings], settings: ScaffoldSettings) -> str:
    """Returns the sandbox's packages, each after a comma, with its description in parentheses if it has one."""
    described = ((name, settings.packages.get(name, "")) for name in settings.all_packages(environment.packages))
    return "".join(f", {name} ({about})" if about else f", {name}" for name, about in described)


def _functions(source: str) -> str:
    lines = "".join(f"\n  - {line}" for line in signatures(source))
    return f"\n- These functions are there already:{lines}" if lines else ""


def _system_prompt(
    environment: Environment[Settings],
    settings: RlmSettings,
    *,
    depth: int,
    role: str,
    context: str,
    max_turns: int,
    template: Template = _SYSTEM,
) -> str:
    return template.substitute(
        role=role,
        context=f"- `context` is {context}.\n" if context else "",
        sub_llms=_sub_llms(environment.tools(), settings, depth=depth),
        batches_included=", the calls of `llm_batch` included" if depth < settings.depth else "",
        packages=f"Installed: Python's standard library{packages_text(environment, settings)}.",
        functions=_functions(settings.all_functions),
        cell_time_limit=f"{settings.cell_time_limit:g}",
        output_limit=f"{settings.output_limit:,}",
        max_turns=max_turns,
    )


def _sub_llms(tools: Sequence[Tool], settings: RlmSettings, *, depth: int) -> str:
    """Returns the paragraph on sub-LLMs and tools for an RLM at this depth."""
    if settings.depth == 0:
        own = ", ".join(f"`{tool.name}`" for tool in tools)
        return _NO_SUB_LLMS + (_OWN_TOOLS.format(tools=own) if own else "")
    above_the_last = depth + 1 < settings.depth
    who = "Sub-LLMs of the last level, whom yours call," if above_the_last else "Sub-LLMs"
    return (
        _LLM_BATCH.format(parallelism=settings.sub_parallelism)
        + (_SUB_RLMS.format(turns=settings.sub_rlm_max_turns) if above_the_last else "")
        + "".join(f"\n  - {who} can call `{tool.name}`: {tool.description}" for tool in tools)
    )
