"""The registry of filter keys, which parsing, completion, errors and docs/filters.md use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from django.db.models import Case, F, FloatField, Func, Q, TextField, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast
from django.db.models.lookups import Exact

from rlm_runs.models.rollout_sums import MAIN_TOKENS, SUB_TOKENS
from rlm_runs.models.texts import escape


class Kind(Enum):
    """The type of a key's values. The text is used in errors."""

    TEXT = "a name, several with commas between them, or with * for anything"
    WHOLE = "a number, <1, >=10, 1..5"
    NUMBER = "a number, <1, >=0.5, 0.2..0.8, none"
    DOLLARS = "dollars: 0.01, <1, 0.1..0.5, none where unpriced"
    OUTCOME = "scored, too_long, unjudged, failed, cancelled, unfinished"
    MODES = "failure modes, by name, or none"
    NOTE = "words of a note, * for any, or none"
    ANYTHING = "a name or a number: synth, 4096, <1, 1..5, none"


@dataclass(frozen=True)
class Key:
    """One key. `column` is a field's path or an expression; `first` is the number written for a stored 0. `family`
    is "meta", "set" or "metric" if `name` is a key in a JSON column. With `of_arm`, the column belongs to arms,
    else to rollouts.
    """

    name: str
    kind: Kind
    help: str
    column: str | Combinable = ""
    first: int = 0
    family: str = ""
    of_arm: bool = False

    @property
    def expression(self) -> Any:
        """The expression to compare."""
        return F(self.column) if isinstance(self.column, str) else self.column

    @property
    def is_numeric(self) -> bool:
        """Whether its values can only be numbers, or none."""
        return self.kind in (Kind.WHOLE, Kind.NUMBER, Kind.DOLLARS)


TOKENS = MAIN_TOKENS + SUB_TOKENS

KEYS: Mapping[str, Key] = {
    key.name: key
    for key in (
        Key("env", Kind.TEXT, "environment", "environment", of_arm=True),
        Key("scaffold", Kind.TEXT, "how the model is driven, such as rlm", "scaffold", of_arm=True),
        Key("model", Kind.TEXT, "root model", "model", of_arm=True),
        Key("submodel", Kind.TEXT, "model of the sub-LLMs", "sub_model", of_arm=True),
        Key("experiment", Kind.TEXT, "experiment, as in its address", "experiment__slug"),
        Key("arm", Kind.WHOLE, "arm, by its number in the address", "arm_id"),
        Key("example", Kind.WHOLE, "example of its experiment, from 1", "example_position", first=1),
        Key("rep", Kind.WHOLE, "repetition, from 1", "repetition", first=1),
        Key("id", Kind.WHOLE, "rollout, by its number; #17 is short for id:17", "pk"),
        Key("status", Kind.TEXT, "queued, running, completed, failed, cancelled", "status"),
        Key("outcome", Kind.OUTCOME, "what became of it, as figures count it"),
        Key("stop", Kind.TEXT, "stop reason", "stop_reason"),
        Key("failure", Kind.MODES, "how it went wrong, by the rules of the behaviour page", "failure_modes"),
        Key("reward", Kind.NUMBER, "reward; none where none was given", "reward"),
        Key("cost", Kind.DOLLARS, "dollars; none where a call has no known price", "cost"),
        Key("seconds", Kind.NUMBER, "seconds from start to end, without scoring", "seconds"),
        Key(
            "ttft",
            Kind.NUMBER,
            "seconds to the first token of streamed answers",
            "first_token_seconds",
        ),
        Key("tps", Kind.NUMBER, "tokens per second of streamed answers", "tokens_per_second"),
        Key("turns", Kind.WHOLE, "turns of the root", "turns"),
        Key("cells", Kind.WHOLE, "REPL cells", "cells"),
        Key("toolcalls", Kind.WHOLE, "tool calls, of the root and of sub-LLMs", "tool_calls"),
        Key("batches", Kind.WHOLE, "calls of llm_batch", "batches"),
        Key("subcalls", Kind.WHOLE, "sub-LLM calls, at every depth", "sub_calls"),
        Key("subturns", Kind.WHOLE, "turns of sub-LLMs", "sub_turns"),
        Key("main", Kind.WHOLE, "tokens of the root model, prompt and completion", MAIN_TOKENS),
        Key("sub", Kind.WHOLE, "tokens of sub-LLMs, prompt and completion", SUB_TOKENS),
        Key("tokens", Kind.WHOLE, "tokens of both", TOKENS),
        Key("errors", Kind.WHOLE, "cells that ended in an error", "cell_errors"),
        Key("cuts", Kind.WHOLE, "cells of which the model saw a part only", "cells_cut"),
        Key("timeouts", Kind.WHOLE, "cells that ran out of time", "cells_timed_out"),
        Key("repaired", Kind.WHOLE, "cells whose source was repaired before it ran", "cells_repaired"),
        Key("maxbatch", Kind.WHOLE, "calls of the largest batch", "max_batch"),
        Key("parallel", Kind.WHOLE, "most sub-LLM calls under way at once", "max_parallel"),
        Key("retries", Kind.WHOLE, "retries of model calls", "retries"),
        Key("truncated", Kind.WHOLE, "calls of whose prompt the server read a part only", "truncated_prompts"),
        Key("estimated", Kind.WHOLE, "calls whose tokens are our own estimate", "estimated_calls"),
        Key("firstanswer", Kind.WHOLE, "turn, from 1, that first wrote answer", "first_answer_turn"),
        Key("edits", Kind.WHOLE, "times answer was changed after that", "answer_edits"),
        Key("note", Kind.NOTE, "text of a note; * for any, none for those without"),
        Key("tag", Kind.TEXT, "tag"),
        Key("manual", Kind.NUMBER, "manual score, the mean of the reviewers; none where none was given"),
        Key("reviewed_by", Kind.TEXT, "user who gave a manual score"),
    )
}

KINDS: Mapping[str, Key] = {
    key.family: key
    for key in (
        Key("", Kind.ANYTHING, "metadata of the example: meta.context_len", "example__metadata", family="meta"),
        Key("", Kind.ANYTHING, "setting of the arm: set.max_turns", family="set", of_arm=True),
        Key("", Kind.ANYTHING, "metric of the environment: metric.char_accuracy", "metrics", family="metric"),
    )
}
"""The keys that are specific to an experiment: `meta.…`, `set.…` and `metric.…`."""

SETTINGS = ("scaffold_settings", "environment_settings", "sampling")
"""Columns of arms that may hold a setting."""


def key_named(name: str) -> Key | None:
    """Returns the key of this name; None if there is none."""
    family, dot, own = name.partition(".")
    if dot and own and family in KINDS:
        kind = KINDS[family]
        return replace(kind, name=own)
    return KEYS.get(name.lower())


def json_text(column: str, key: str) -> Func:
    """Returns the value under a key of a JSON object as text; NULL without one."""
    return Func(
        F(column),
        Value(escape(key)),
        template="(%(expressions)s)",
        arg_joiner=" ->> ",
        output_field=TextField(),
    )


def json_number(column: str, key: str) -> Case:
    """Returns the value under a key of a JSON object as a number; NULL if it is not one. true and false are 1 and
    0.
    """
    value = Func(
        F(column), Value(escape(key)), template="(%(expressions)s)", arg_joiner=" -> ", output_field=TextField()
    )
    kind = Func(value, function="jsonb_typeof", output_field=TextField())
    written = json_text(column, key)
    return Case(
        When(_equals(kind, "number"), then=Cast(written, FloatField())),
        When(_equals(kind, "boolean") & _equals(written, "true"), then=Value(1.0)),
        When(_equals(kind, "boolean"), then=Value(0.0)),
        output_field=FloatField(),
    )


def _equals(one: Any, other: str) -> Q:
    return Q(Exact(one, other))
