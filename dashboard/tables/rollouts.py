"""The table of rollouts. Unknown values are never zeros, and unfinished rollouts have no numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.html import format_html
from django.utils.safestring import SafeString

from rlm_runs.analysis.filters.keys import SETTINGS, TOKENS, json_number, json_text, key_named
from rlm_runs.models import Arm, Rollout
from rlm_runs.models.experiments import RolloutQuerySet
from rlm_runs.models.rollout_sums import MAIN_TOKENS, SUB_TOKENS

from .. import formatting
from ..pagination import Column as Order
from ..pagination import Page, Steps, decimal, integer, keyset_page, moment, words
from ..templatetags.dashboard import notices, reward, scaffold, status_mark
from . import cells
from .columns import Column, Row, Table
from .query import TableQuery
from .reviews import REVIEWS

_ALWAYS = ("pk", "arm_id", "status", "stop_reason", "started_at", "finished_at", "reported")
_TOO_LONG = "prompt_too_long"
_FEW_VALUES = 12
"""The maximum number of values of a column by which a list is read stepwise; each may cost a query."""


def rows(rollouts: RolloutQuerySet, columns: Sequence[Column]) -> QuerySet[Any, dict[str, Any]]:
    """Returns the fields of rollouts that these columns need, as dicts."""
    return _needed(rollouts, columns, _ALWAYS)


def page_of(rollouts: RolloutQuerySet, wanted: TableQuery, *, size: int) -> Page[dict[str, Any]]:
    """Returns a page of rows. Raises BadCursor.

    The ids of the page are read first, with only the sorting column, which keeps the sort small if no index has
    its order.
    """
    narrow = _needed(rollouts, [wanted.sorting], ("pk",))
    found = keyset_page(
        narrow,
        columns=wanted.orders,
        sort=wanted.sort,
        after=wanted.after,
        before=wanted.before,
        size=size,
        steps=() if wanted.is_active else _steps(wanted.sorting),
    )
    pks = [row["pk"] for row in found.rows]
    by_pk = {row["pk"]: row for row in rows(Rollout.objects.filter(pk__in=pks), wanted.columns)}
    return Page(tuple(by_pk[pk] for pk in pks if pk in by_pk), before=found.before, after=found.after)


def _steps(column: Column) -> Steps:
    """Returns the values of a column of arms if they are few. In a filtered list, each might scan all rollouts."""
    field = column.order.field if column.order else ""
    if not field.startswith("arm__"):
        return ()
    by_value = Arm.objects.order_by(field.removeprefix("arm__")).values_list(field.removeprefix("arm__"), "pk")
    arms: dict[str, list[int]] = {}
    for value, pk in by_value:
        arms.setdefault(value, []).append(pk)
    return [(value, Q(arm__in=pks)) for value, pks in arms.items()] if len(arms) <= _FEW_VALUES else ()


def _needed(
    rollouts: RolloutQuerySet, columns: Sequence[Column], always: Sequence[str]
) -> QuerySet[Any, dict[str, Any]]:
    annotations = {name: found for column in columns for name, found in column.annotations.items()}
    fields = [column.order.field for column in columns if column.order]
    needs = dict.fromkeys([*always, *fields, *(name for column in columns for name in column.needs)])
    found: QuerySet[Any, dict[str, Any]] = rollouts.annotate(**annotations).values(*needs)
    return found


def _has_ended(row: Row) -> bool:
    return bool(row["finished_at"] and (row["started_at"] or row["reported"]))


def _number(
    key: str,
    header: str,
    field: str,
    show: cells.Show,
    *,
    help: str,
    parse: Callable[[str], Any] = integer,
    **more: Any,
) -> Column:
    """Returns the column of a number of ended rollouts. `show` formats it, None if unknown."""
    return Column(
        key,
        header,
        lambda row: row[field] if _has_ended(row) else None,
        lambda row: show(row[field]) if _has_ended(row) else cells.NOT_YET,
        needs=(field,),
        help=help,
        order=Order(field, parse, nullable=True),
        is_number=True,
        **more,
    )


def _count(key: str, header: str, field: str, *, help: str) -> Column:
    return _number(key, header, field, cells.whole, help=help)


def _tokens(key: str, header: str, field: str, *, help: str, expression: Any = None) -> Column:
    annotations = {} if expression is None else {field: expression}
    return _metered(key, header, field, cells.tokens, help=help, unit="tokens", annotations=annotations)


def _metered(key: str, header: str, field: str, show: cells.Show, **more: Any) -> Column:
    """Returns the column of a number that rests on token counts, marked if some of them are estimates."""
    column = _number(key, header, field, show, **more)
    return replace(
        column,
        show=lambda row: cells.estimated(column.show(row), calls=row["estimated_calls"]),
        needs=(*column.needs, "estimated_calls"),
    )


def _words(
    key: str, header: str, field: str, *, help: str, show: Callable[[Row], str | SafeString] | None = None
) -> Column:
    return Column(
        key,
        header,
        lambda row: cells.plain(row[field]),
        show or (lambda row: cells.text(row[field])),
        needs=(field,),
        help=help,
        order=Order(field, words),
    )


def _time(key: str, header: str, field: str, *, help: str) -> Column:
    return Column(
        key,
        header,
        lambda row: row[field].isoformat() if row[field] else None,
        lambda row: cells.moment(row[field]),
        needs=(field,),
        help=help,
        order=Order(field, moment, nullable=True),
    )


def _status(row: Row) -> SafeString:
    return status_mark(row["status"], is_too_long=row["stop_reason"] == _TOO_LONG)


def _stop(row: Row) -> str | SafeString:
    return cells.stop(row["stop_reason"], row["error"], is_refused=row["stop_reason"] == _TOO_LONG)


def _model(row: Row) -> SafeString:
    marks = notices(simulated=row["arm__simulated"], no_walls=row["sandbox_backend"] == "process")
    return format_html("{} {}", cells.text(row["arm__model"]), marks)


def _modes(row: Row) -> str:
    return ", ".join(mode.replace("_", " ") for mode in row["failure_modes"]) or "–"


_COLUMNS: Sequence[Column] = (
    Column(
        "id",
        "rollout",
        lambda row: row["pk"],
        lambda row: cells.rollout(row["pk"]),
        help="its number, and the way to its replay",
        order=Order("pk"),
        is_number=True,
    ),
    _words("status", "status", "status", help="how far it is", show=_status),
    _words(
        "scaffold",
        "scaffold",
        "arm__scaffold",
        help="how the model is driven",
        show=lambda row: scaffold(row["arm__scaffold"]),
    ),
    _words("env", "environment", "arm__environment", help="environment"),
    Column(
        "example",
        "example",
        lambda row: row["example_position"] + 1,
        lambda row: cells.example(row["experiment__slug"], row["example_position"], row["repetition"]),
        needs=("example_position", "repetition", "experiment__slug"),
        help="example of its experiment, from 1, and its repetition behind r",
        order=Order("example_position"),
        is_number=True,
    ),
    Column(
        "rep",
        "repetition",
        lambda row: row["repetition"] + 1,
        lambda row: str(row["repetition"] + 1),
        needs=("repetition",),
        help="repetition, from 1",
        order=Order("repetition"),
        is_number=True,
    ),
    _number(
        "reward",
        "reward",
        "reward",
        reward,
        help="reward; unscored where none was given",
        parse=float,
    ),
    _count("turns", "turns", "turns", help="turns of the root"),
    _count("cells", "cells", "cells", help="REPL cells"),
    _count("toolcalls", "tool calls", "tool_calls", help="tool calls, of the root and of sub-LLMs"),
    _count("batches", "batches", "batches", help="calls of llm_batch"),
    _count("subcalls", "sub-calls", "sub_calls", help="sub-LLM calls, at every depth"),
    _count("subturns", "sub-turns", "sub_turns", help="turns of sub-LLMs"),
    _tokens("main", "main, tok", "all_main", help="tokens of the root model", expression=MAIN_TOKENS),
    _tokens("mainprompt", "main prompt, tok", "main_prompt_tokens", help="prompt tokens of the root model"),
    _tokens("maincached", "of it cached, tok", "main_cached_tokens", help="of the prompt tokens, those cached"),
    _tokens("maincompletion", "main compl., tok", "main_completion_tokens", help="completion tokens of the root"),
    _tokens("sub", "sub, tok", "all_sub", help="tokens of sub-LLMs", expression=SUB_TOKENS),
    _tokens("subprompt", "sub prompt, tok", "sub_prompt_tokens", help="prompt tokens of sub-LLMs"),
    _tokens("subcompletion", "sub compl., tok", "sub_completion_tokens", help="completion tokens of sub-LLMs"),
    _tokens("tokens", "tokens", "all_tokens", help="tokens of root and sub-LLMs", expression=TOKENS),
    _metered(
        "cost",
        "$",
        "cost",
        cells.dollars,
        help="cost; unpriced where a call has no known price",
        unit="$",
        parse=decimal,
    ),
    _number(
        "providercost",
        "provider, $",
        "provider_cost",
        cells.reported_dollars,
        help="cost as the provider reports it, where it does for every call",
        unit="$",
        parse=decimal,
    ),
    _number(
        "judgecost",
        "judging, $",
        "judge_cost",
        cells.dollars,
        help="cost of judging, apart from the cost",
        unit="$",
        parse=decimal,
    ),
    _number(
        "seconds",
        "time",
        "seconds",
        cells.duration,
        help="from start to end, without scoring",
        unit="s",
        parse=float,
    ),
    _number(
        "ttft",
        "first token",
        "first_token_seconds",
        cells.first_token,
        help="from request to first token of streamed answers, on average",
        unit="s",
        parse=float,
    ),
    _number(
        "tps",
        "tok/s",
        "tokens_per_second",
        cells.rate,
        help="tokens per second of streamed answers",
        unit="tok/s",
        parse=float,
    ),
    _count("errors", "errors", "cell_errors", help="cells that ended in an error"),
    _count("cuts", "cuts", "cells_cut", help="cells of which the model saw a part only"),
    _count("timeouts", "timeouts", "cells_timed_out", help="cells that ran out of time"),
    _count("maxbatch", "largest batch", "max_batch", help="calls of the largest batch"),
    _count("parallel", "at once", "max_parallel", help="most sub-LLM calls under way at once"),
    _count("retries", "retries", "retries", help="retries of model calls"),
    _count(
        "truncated", "truncated", "truncated_prompts", help="calls of whose prompt the server read a part only"
    ),
    _count("estimated", "estimated", "estimated_calls", help="calls whose tokens are our own estimate"),
    _count("firstanswer", "first answer", "first_answer_turn", help="turn, from 1, that first wrote answer"),
    _count("edits", "edits", "answer_edits", help="times answer was changed after that"),
    Column(
        "failure",
        "failure modes",
        lambda row: " ".join(row["failure_modes"]),
        _modes,
        needs=("failure_modes",),
        help="how it went wrong, by rules",
    ),
    Column(
        "stop",
        "stop reason",
        lambda row: cells.plain(row["stop_reason"]),
        _stop,
        needs=("stop_reason", "error"),
        help="why it ended",
        order=Order("stop_reason", words),
    ),
    _words("error", "error", "error", help="what went wrong, in the words of whom it befell"),
    Column(
        "model",
        "model",
        lambda row: cells.plain(row["arm__model"]),
        _model,
        needs=("arm__model", "arm__simulated", "sandbox_backend"),
        help="root model",
        order=Order("arm__model", words),
    ),
    _words("submodel", "sub-model", "arm__sub_model", help="model of the sub-LLMs"),
    Column(
        "arm",
        "arm",
        lambda row: row["arm"],
        lambda row: str(row["arm"]),
        needs=("arm",),
        help="number of the arm, as arm: asks for it",
        order=Order("arm"),
        is_number=True,
    ),
    Column(
        "experiment",
        "experiment",
        lambda row: row["experiment__slug"],
        lambda row: cells.experiment(row["experiment__slug"], row["experiment__name"]),
        needs=("experiment__slug", "experiment__name"),
        help="experiment",
        order=Order("experiment__slug", words),
    ),
    *REVIEWS,
    _time("started", "started", "started_at", help="when its last attempt began"),
    _time("finished", "finished", "finished_at", help="when it ended"),
)


def _experiment_column(key: str) -> Column | None:
    """Returns the column of an experiment's own key (`meta.…`, `set.…`, `metric.…`). It sorts by numbers."""
    asked = key_named(key)
    if asked is None or not asked.family:
        return None
    fields = [f"arm__{field}" for field in SETTINGS] if asked.of_arm else [str(asked.column)]
    alias = "own_" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    texts = [json_text(field, asked.name) for field in fields]
    numbers = [json_number(field, asked.name) for field in fields]
    return Column(
        key,
        formatting.visible(asked.name),
        lambda row: _experiment_value(row, alias),
        lambda row: cells.anything(_experiment_value(row, alias)),
        needs=(alias, f"{alias}_number"),
        annotations={alias: _first(texts), f"{alias}_number": _first(numbers)},
        help=f"{asked.family} of that name",
        order=Order(f"{alias}_number", float, nullable=True),
        is_number=asked.family == "metric",
    )


def _first(expressions: Sequence[Any]) -> Any:
    return Coalesce(*expressions) if len(expressions) > 1 else expressions[0]


def _experiment_value(row: Row, alias: str) -> Any:
    """Returns the value of the key: a number if it is one, else text, also for true and false."""
    text, number = row[alias], row[f"{alias}_number"]
    if number is None or text in ("true", "false"):
        return text if text is None else cells.plain(text)
    return int(number) if number.is_integer() and "." not in text and "e" not in text.lower() else number


ROLLOUTS = Table(
    name="rollouts",
    columns={column.key: column for column in _COLUMNS},
    shown=(
        *("id", "reward", "status", "scaffold", "env", "example", "turns", "cells", "subcalls", "main", "sub"),
        *("cost", "seconds", "stop", "model", "experiment"),
    ),
    sort="-id",
    own=_experiment_column,
)


def of_one_experiment(table: Table) -> Table:
    """Returns the same table for one experiment, without its name and in the order in which it runs."""
    shown = tuple(key for key in table.shown if key != "experiment")
    return replace(table, shown=shown, sort="example")
