"""One line of a verifiers v0 run: its arm, its example and its events.

The scaffold comes from the row's `info.mode`, else from the run's arguments, else from its metrics and tools. The
run's arguments become the arm's settings, except those that only select examples.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..engine.events import Event, ReportedSums, RolloutEnded, RolloutStarted, TrajectoryEnded
from ..engine.scaffolds import registry
from ..engine.scaffolds.llm import LlmScaffold
from ..engine.scaffolds.rlm import RlmScaffold
from ..engine.scaffolds.rlm_tips import RlmTipsScaffold
from .messages import read_dialogue, read_prompt
from .numbers import count, number, seconds_of_ms, tokens
from .outcomes import Outcome, failure, refused_prompt
from .records import ImportedArm, ImportedExample, ImportedRollout, json_value
from .reported import OF_RLM, SUB_TOOL_CALLS, SUMS, reported_sums
from .transcript import Transcript, read_transcript, root_events

_SELECTION = frozenset(
    {"seed", "shuffle", "num_samples", "num_examples", "num_train_examples", "num_eval_examples", "max_examples"}
)
"""Arguments that select examples. They are not settings of an arm, because the examples identify themselves."""
_ROLES = frozenset({"use_rlm", "include_env_tips", "mode", "judge_model", "sub_model", "sub_llm_model"})
"""Arguments that have their own columns."""
_OF_SCAFFOLD = {
    "max_turns": "max_turns",
    "max_iterations": "max_turns",
    "code_execution_timeout": "cell_time_limit",
    "code_timeout": "cell_time_limit",
    "max_output_length": "output_limit",
    "max_sub_llm_parallelism": "sub_parallelism",
    "sub_tool_max_turns": "sub_max_turns",
    "sub_max_turns": "sub_max_turns",
    "recursion_depth": "depth",
    "env_tips_variant": "tips",
    "pip_install_packages": "packages",
}
"""Arguments that set how the model is driven → the names of our settings."""
_TIPS = re.compile(r"\s*<env_tips>.*?</env_tips>\s*", re.DOTALL)
_METADATA_CHARS = 200
_STOPS = {
    "max_turns_reached": "max_turns",
    "answer_ready": "answer_ready",
    "no_tools_called": "final_message",
}
"""Stop conditions of files → our stop reasons. Others keep their names."""
_NO_METRICS = frozenset(
    {
        *("example_id", "id", "reward", "generation_ms", "scoring_ms", "total_ms", "is_truncated", "is_completed"),
        *("num_input_tokens", "num_output_tokens", "timestamp"),
    }
)
"""Numbers of a row that are not metrics of its environment."""


@dataclass(frozen=True)
class RunSettings:
    """The settings that all rollouts of a run share. `arguments` are the environment's; `began` is the start of
    the run.
    """

    environment: str
    model: str
    arguments: Mapping[str, Any]
    endpoint: str
    sampling: Mapping[str, Any]
    began: datetime


@dataclass(frozen=True)
class _Timing:
    """Seconds of generation and of scoring, None if the row has none."""

    generation: float | None
    scoring: float | None


class Row:
    """One line of the results. Raises Malformed if a part of it does not follow the format."""

    def __init__(self, run: RunSettings, row: Mapping[str, Any]) -> None:
        self._run = run
        self._row = row
        self._info = _object(row.get("info"))
        self._metrics = _metrics(row)
        self._prompt = read_prompt(row.get("prompt") or [])
        self._dialogue = read_dialogue(self._prompt, row.get("completion") or [])
        self._timing = _timing(row)

    def rollout(self, line: int) -> ImportedRollout:
        """Returns the rollout with all its events, so that no error can occur while it is written."""
        arm = self._arm()
        return ImportedRollout(line, arm, self._example(), list(self._events(arm)))

    def _arm(self) -> ImportedArm:
        arguments = self._run.arguments
        own = {name: value for name, value in arguments.items() if name not in _SELECTION | _ROLES}
        return ImportedArm(
            environment=self._run.environment,
            environment_settings={name: value for name, value in own.items() if name not in _OF_SCAFFOLD},
            scaffold=self._scaffold(),
            scaffold_settings={_OF_SCAFFOLD[name]: value for name, value in own.items() if name in _OF_SCAFFOLD},
            model=self._run.model,
            sub_model=_text(arguments.get("sub_model") or arguments.get("sub_llm_model")),
            judge_model=_text(arguments.get("judge_model")),
            endpoint=self._run.endpoint,
            sampling=self._run.sampling,
        )

    def _scaffold(self) -> str:
        arguments = self._run.arguments
        mode = self._info.get("mode") or arguments.get("mode")
        if isinstance(mode, str) and mode:
            return registry.named_in_files(mode)
        called = {call.name for turn in self._dialogue.turns for call in turn.calls}
        if not arguments.get("use_rlm", bool(OF_RLM & self._metrics.keys()) or "call_python_repl" in called):
            return LlmScaffold.key
        has_tips = any("<env_tips>" in message.content for message in self._prompt)
        return (RlmTipsScaffold if arguments.get("include_env_tips", has_tips) else RlmScaffold).key

    def _example(self) -> ImportedExample:
        """Returns the question without the tips. The system prompt belongs to the arm.

        The `id` of older files does not identify the example: with several rollouts each, it counts something
        else.
        """
        key = self._row.get("example_id")
        asked = [message.content for message in self._prompt if message.role == "user"]
        return ImportedExample(
            key="" if key is None else str(key),
            prompt=_TIPS.sub("", "\n\n".join(asked)),
            answer=_text(self._row.get("answer")),
            metadata={name: value for name, value in self._info.items() if _is_metadata(name, value)},
        )

    def _events(self, arm: ImportedArm) -> Iterator[Event]:
        is_plain = registry.is_plain_model(arm.scaffold)
        is_rlm = not is_plain and (arm.scaffold in registry.REGISTRY or bool(OF_RLM & self._metrics.keys()))
        transcript = read_transcript(
            self._dialogue,
            has_answer=is_rlm,
            has_sub_calls=is_rlm and self._metrics.get("sub_llm_call_count") != 0,
        )
        outcome = self._outcome(arm, transcript)
        began = self._run.began
        ended = began + timedelta(seconds=(self._timing.generation or 0) + (self._timing.scoring or 0))
        yield RolloutStarted(at=began, sandbox_backend="")
        if self._dialogue.turns:
            sub_model = arm.sub_model or arm.model
            yield from root_events(transcript, model=arm.model, sub_model=sub_model, tools=self._tools(), at=began)
            yield TrajectoryEnded(
                key=0, at=ended, stop_reason=outcome.stop_reason, answer=transcript.answer, error=outcome.error
            )
        yield RolloutEnded(
            at=ended,
            stop_reason=outcome.stop_reason,
            answer=transcript.answer,
            reward=outcome.reward,
            metrics={} if outcome.reward is None else _without(self._metrics, SUMS),
            boundary=outcome.boundary,
            error=outcome.error,
            reported=self._reported(arm, transcript),
        )

    def _outcome(self, arm: ImportedArm, transcript: Transcript) -> Outcome:
        stop = _text(self._row.get("stop_condition"))
        if self._row.get("error"):
            return failure(_text(self._row["error"]))
        if stop == "prompt_too_long":
            return refused_prompt("the file says that the prompt was too long")
        if not self._dialogue.turns:
            return _outcome_without_messages(arm)
        reward = number(self._row.get("reward"), name="reward")
        if reward is None:
            return Outcome(None, "unscored", "scoring", "the file gives it no reward")
        return Outcome(reward, _STOPS.get(stop, stop)[:40] or _inferred_stop(transcript))

    def _reported(self, arm: ImportedArm, transcript: Transcript) -> ReportedSums:
        sums = reported_sums(self._metrics)
        usage = _object(self._row.get("token_usage"))
        prompt = tokens(usage.get("input_tokens"), name="token_usage.input_tokens")
        completion = tokens(usage.get("output_tokens"), name="token_usage.output_tokens")
        called_nobody = registry.is_plain_model(arm.scaffold) or sums.sub_calls == 0
        return replace(
            sums,
            seconds=self._timing.generation,
            main_prompt_tokens=_first(sums.main_prompt_tokens, prompt),
            main_completion_tokens=_first(sums.main_completion_tokens, completion),
            sub_calls=0 if called_nobody else sums.sub_calls,
            sub_seconds=0.0 if called_nobody else _seconds_of_batches(transcript),
            tool_calls=self._tool_calls(transcript, called_nobody=called_nobody),
        )

    def _tool_calls(self, transcript: Transcript, *, called_nobody: bool) -> int | None:
        """Returns the tool calls of the root, from the transcript, and of its sub-LLMs, which the file counts."""
        of_subs = 0 if called_nobody else count(self._metrics.get(SUB_TOOL_CALLS), name=SUB_TOOL_CALLS)
        if of_subs is None or not transcript.steps:
            return of_subs or None
        return of_subs + sum(not step.is_cell for steps in transcript.steps for step in steps)

    def _tools(self) -> Sequence[Mapping[str, Any]]:
        """Returns the schemas that the model was sent, if the file has them."""
        tools = self._info.get("oai_tools") or self._row.get("oai_tools") or self._row.get("tools")
        if isinstance(tools, str):
            try:
                tools = json_value(tools)
            except ValueError:
                return ()
        return tools if isinstance(tools, list) else ()


def _outcome_without_messages(arm: ImportedArm) -> Outcome:
    """Returns the outcome of a rollout without messages and without an error.

    For a plain model, the API refused the prompt.
    """
    why = "the file has no message of this rollout, and no error"
    if registry.is_plain_model(arm.scaffold):
        return refused_prompt(f"{why}: the API did not accept its prompt")
    return failure(why)


def _inferred_stop(transcript: Transcript) -> str:
    """Returns the stop reason of a file that has none. Calls without results belong to the last allowed turn."""
    if transcript.is_ready:
        return "answer_ready"
    if transcript.last_message is not None:
        return "final_message"
    return "max_turns" if any(step.result.shown is None for step in transcript.steps[-1]) else "not_recorded"


def _seconds_of_batches(transcript: Transcript) -> float | None:
    batches = transcript.batches
    return sum(batch.seconds for batch in batches) if batches else None


def _metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the metrics of a row, without the format's own numbers. Later files also have them in `metrics`."""
    flat = {
        name: value
        for name, value in row.items()
        if name not in _NO_METRICS and isinstance(value, int | float) and not isinstance(value, bool)
    }
    return flat | _object(row.get("metrics"))


def _timing(row: Mapping[str, Any]) -> _Timing:
    """Returns the times of a row, which are in milliseconds, flat or in an object `timing`."""
    timing = _object(row.get("timing")) | {
        name: row[name] for name in ("generation_ms", "scoring_ms") if name in row
    }
    return _Timing(
        generation=seconds_of_ms(timing.get("generation_ms"), name="generation_ms"),
        scoring=seconds_of_ms(timing.get("scoring_ms"), name="scoring_ms"),
    )


def _object(value: Any) -> dict[str, Any]:
    """Returns an object, also from JSON text; an empty one for anything else."""
    if isinstance(value, str):
        try:
            value = json_value(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _is_metadata(name: str, value: Any) -> bool:
    if name == "mode":
        return False
    return (
        value is None
        or isinstance(value, int | float)
        or (isinstance(value, str) and len(value) <= _METADATA_CHARS)
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _without(metrics: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in names}


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one
