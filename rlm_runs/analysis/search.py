"""Full-text search over prompts, code, outputs, completions, answers, and the errors of rollouts.

Words are looked up in an index over the first `CHARS` characters of each text (migration 0003). Every character
that is not a letter or digit separates words, in texts and in queries, so that `llm_batch` and `re.findall` are
found as a whole and by their parts. The words of a phrase must be adjacent. This is checked in the text itself,
because the index forgets positions beyond the 16,383rd word. Texts lead back to rollouts through every column with
a digest. System prompts are excluded, because they are the same in every rollout.

A phrase in few texts is looked up in the index, and the texts lead to rollouts. A phrase in more than `MOST_TEXTS`
texts or `MOST_ROLLOUTS` rollouts occurs almost everywhere, so rollouts are checked one by one in the order of the
list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, Q
from django.db.models.expressions import Expression, RawSQL
from django.db.models.sql.compiler import SQLCompiler
from psycopg.errors import QueryCanceled

from ..models.texts import unescape

CHARS = 100_000
"""Characters searched per text, few enough for any text to fit an index entry."""
MOST_TEXTS = 5_000
"""The maximum number of texts from which rollouts are looked up; a phrase in more texts is common."""
MOST_ROLLOUTS = 100_000
"""The maximum number of rollouts of an uncommon phrase. One text may be the prompt of many."""
MOST_WORDS = 8
"""The maximum number of phrases in one query."""
MOST_HITS = 200
"""Places examined for one page of a list."""
SECONDS = 5
_LONGEST_WORD = 200
_BEFORE, _SNIPPET = 80, 260
_OF_COMMON = 6
"""Places shown for each rollout of a page, for a common phrase."""

_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\x1a\x1b"
_WORD = re.compile(r"[^\W_]+")
_GAP_SQL = r"(?:\\[nrt]|[^[:alnum:]])+"
_HALF_WORD = re.compile(r"^\S{0,40}\s")
_GAP = r"(?:\\[nrt]|[\W_])+"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


BEGINNING_SQL = f"left(body, {CHARS})"
VECTOR_SQL = (
    "to_tsvector('simple', translate(replace(replace(replace(regexp_replace("
    f"{BEGINNING_SQL}, '\x1b\\[[0-9;]*m', ' ', 'g')"
    rf", '\n', ' '), '\r', ' '), '\t', ' ')"
    f", {_literal(_PUNCTUATION)}, '{' ' * len(_PUNCTUATION)}'))"
)
"""The words of a text as indexed. Terminal colours are not words, and neither is the n of an escaped line end,
because code is stored as JSON.
"""
OPENING_SQL = """jsonb_path_query_array(opening, '$[*] ? (@.role != "system").text')"""
ERROR_SQL = VECTOR_SQL.replace("body", "error")


class TooSlow(RuntimeError):
    """A search was cancelled because it took too long."""


class NotSearchable(ValueError):
    """No text can contain these words. The message says why."""


@dataclass(frozen=True)
class Phrase:
    """Adjacent words; the last may be a prefix (`promp*`)."""

    words: tuple[str, ...]
    is_open: bool

    @property
    def tsquery(self) -> str:
        """The phrase for to_tsquery. Words are letters and digits, so they contain no operators."""
        return " & ".join(f"'{word}'" for word in self.words) + ":*" * self.is_open

    @property
    def place_sql(self) -> str:
        """A Postgres regular expression for a place where the phrase occurs."""
        end = "" if self.is_open else "(?:$|[^[:alnum:]])"
        return rf"(?:^|\\[nrt]|[^[:alnum:]]){_GAP_SQL.join(self.words)}{end}"

    @property
    def marks(self) -> str:
        """A Python regular expression for the words themselves."""
        end = r"[^\W_]*" if self.is_open else r"(?![^\W_])"
        return rf"(?:(?<![^\W_])|(?<=\\[nrt])){_GAP.join(map(re.escape, self.words))}{end}"


@contextmanager
def bounded() -> Iterator[None]:
    """Cancels each query in the block that takes longer than `SECONDS`. Raises TooSlow."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{SECONDS}s"])
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooSlow from error
        raise


def phrase(said: str) -> Phrase:
    """Returns the phrase to search for. Raises NotSearchable."""
    words = tuple(_WORD.findall(said))
    if not words:
        raise NotSearchable("letters or digits are searched for; this has none")
    if any(len(word) > _LONGEST_WORD for word in words):
        raise NotSearchable(f"a word has at most {_LONGEST_WORD} characters")
    return Phrase(words=words, is_open=said.endswith("*"))


@dataclass(frozen=True)
class Matches:
    """The digests and rollout ids that match a phrase; None if it is common."""

    phrase: Phrase
    texts: list[bytes] | None
    rollouts: list[int] | None

    @property
    def is_common(self) -> bool:
        """Whether it matches too many texts or rollouts to list them."""
        return self.rollouts is None

    def condition(self) -> Q:
        """Returns the condition on matching rollouts."""
        if self.rollouts is not None:
            return Q(pk__in=RawSQL("SELECT unnest(%s::bigint[])", [self.rollouts]))
        return Q(_ContainsPhrase(self.phrase))


def find(said: str) -> Matches:
    """Returns the matches of a phrase. Two queries. Raises NotSearchable."""
    sought = phrase(said)
    where, parameters = _matches(sought)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT sha256 FROM rlm_runs_text WHERE {where} LIMIT {MOST_TEXTS + 1}", parameters)
        texts = [bytes(sha256) for (sha256,) in cursor.fetchall()]
        if len(texts) > MOST_TEXTS:
            return Matches(sought, None, None)
        cursor.execute(*rollouts_sql(sought, texts))
        rollouts = [rollout for (rollout,) in cursor.fetchall()]
        return Matches(sought, None, None) if len(rollouts) > MOST_ROLLOUTS else Matches(sought, texts, rollouts)


def rollouts_sql(sought: Phrase, texts: Sequence[bytes]) -> tuple[str, list[Any]]:
    """Returns SQL for the rollouts with one of these texts, or with the phrase in their error.

    It selects one more than `MOST_ROLLOUTS`.
    """
    in_error, of_error = _matches(sought, vector=ERROR_SQL, body="error")
    ways = "\nUNION ".join(f"SELECT rollout FROM ({source.among}) AS {source.name}" for source in _SOURCES)
    error = f"SELECT id FROM rlm_runs_rollout WHERE error <> '' AND {in_error}"
    # Materialized: planned for all rows, and read only up to the limit.
    statement = f"WITH found AS MATERIALIZED ({ways}\nUNION {error}) TABLE found LIMIT {MOST_ROLLOUTS + 1}"
    return statement, [*[list(texts)] * _ARRAYS, *of_error]


class _ContainsPhrase(Expression):
    """A condition that a phrase occurs in a text or the error of a rollout, checked per rollout."""

    conditional = True
    output_field = BooleanField()

    def __init__(self, sought: Phrase) -> None:
        super().__init__()
        self.sought = sought

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[str, ...]]:
        outer = 'rlm_runs_rollout"."id'
        # Not EXISTS, which the planner may turn into a table of all rollouts that a page of a list never needs.
        ways = " OR ".join(
            f"""(SELECT true FROM ({source.any}) AS {source.name} JOIN rlm_runs_text x USING (sha256)
                WHERE {source.name}.rollout = "{outer}" AND left(x.body, {CHARS}) ~* %s LIMIT 1) IS NOT NULL"""
            for source in _SOURCES
        )
        place = self.sought.place_sql
        return f'(left("rlm_runs_rollout"."error", {CHARS}) ~* %s OR {ways})', (place,) * (1 + len(_SOURCES))


def _matches(sought: Phrase, *, vector: str = VECTOR_SQL, body: str = "body") -> tuple[str, list[str]]:
    """Returns the condition on a text, with its parameters."""
    where = f"{vector.replace('%', '%%')} @@ to_tsquery('simple', %s)"
    if len(sought.words) == 1:
        return where, [sought.tsquery]
    return f"{where} AND left({body}, {CHARS}) ~* %s", [sought.tsquery, sought.place_sql]


@dataclass(frozen=True)
class _Source:
    """One path from texts to rollouts. `sql` selects rollout, attempt, trajectory, kind, turn, execution and
    sha256 of all rows for which `{among}` holds.
    """

    name: str
    column: str
    sql: str

    @property
    def among(self) -> str:
        """SQL for the texts whose digests are the parameters."""
        return self.sql.replace("{among}", f"{self.column} = ANY (%s)" if self.column else _OPENING_AMONG)

    @property
    def any(self) -> str:
        """SQL for all texts."""
        return self.sql.replace("{among}", f"{self.column} IS NOT NULL" if self.column else "true")


def _of_turn(part: str) -> _Source:
    return _Source(
        f"turn_{part}",
        f"t.{part}_id",
        f"""SELECT j.rollout_id AS rollout, j.attempt, j.id AS trajectory, j.kind, t.index AS turn,
               NULL::bigint AS execution, t.{part}_id AS sha256
          FROM rlm_runs_turn t JOIN rlm_runs_trajectory j ON j.id = t.trajectory_id WHERE {{among}}""",
    )


def _of_execution(part: str) -> _Source:
    return _Source(
        f"execution_{part}",
        f"e.{part}_id",
        f"""SELECT j.rollout_id AS rollout, j.attempt, j.id AS trajectory, j.kind, t.index AS turn,
               e.id AS execution, e.{part}_id AS sha256
          FROM rlm_runs_execution e JOIN rlm_runs_turn t ON t.id = e.turn_id
               JOIN rlm_runs_trajectory j ON j.id = t.trajectory_id WHERE {{among}}""",
    )


def _of_rollout(name: str, column: str, tables: str) -> _Source:
    return _Source(
        name,
        column,
        f"""SELECT r.id AS rollout, r.attempt, NULL::bigint AS trajectory, '' AS kind, NULL::int AS turn,
               NULL::bigint AS execution, {column} AS sha256 FROM {tables} WHERE {{among}}""",
    )


_WITH_EXAMPLE = "rlm_runs_example x JOIN rlm_runs_rollout r ON r.example_id = x.id"
_SOURCES = (
    *map(_of_turn, ("content", "reasoning", "reply")),
    *map(_of_execution, ("arguments", "output", "shown", "out", "answer")),
    _Source(
        "trajectory_answer",
        "j.answer_id",
        """SELECT j.rollout_id AS rollout, j.attempt, j.id AS trajectory, j.kind, NULL::int AS turn,
               NULL::bigint AS execution, j.answer_id AS sha256 FROM rlm_runs_trajectory j WHERE {among}""",
    ),
    _of_rollout("rollout_answer", "r.answer_id", "rlm_runs_rollout r"),
    _of_rollout("example_prompt", "x.prompt_id", _WITH_EXAMPLE),
    _of_rollout("example_input_data", "x.input_data_id", _WITH_EXAMPLE),
    _of_rollout("example_answer", "x.answer_id", _WITH_EXAMPLE),
    _Source(
        "opening",
        "",
        f"""SELECT j.rollout_id AS rollout, j.attempt, j.id AS trajectory, j.kind, NULL::int AS turn,
               NULL::bigint AS execution, decode(digest.hex, 'hex') AS sha256
          FROM rlm_runs_trajectory j CROSS JOIN jsonb_array_elements_text({OPENING_SQL}) AS digest (hex)
         WHERE {{among}}""",
    ),
)
_ARRAYS = len(_SOURCES) + 1
"""The number of times that the digests are a parameter: once per source, and once more for openings."""
_OPENING_AMONG = (
    f"{OPENING_SQL} ?| ARRAY(SELECT encode(t, 'hex') FROM unnest(%s::bytea[]) AS t)"
    " AND decode(digest.hex, 'hex') = ANY (%s)"
)


@dataclass(frozen=True)
class Hit:
    """An occurrence of a phrase. `source` names the kind of place, as `_SOURCES` and "error" do; `turn` counts
    from 1, `cell` is the number of the cell in its conversation. `snippet` is unescaped text around the place.
    """

    rollout: int
    source: str
    attempt: int
    trajectory: int | None
    kind: str
    turn: int | None
    execution: int | None
    cell: int | None
    is_of_last_attempt: bool
    snippet: str
    marks: str


def hits(matches: Matches, rollouts: Sequence[int], *, of_each: int = 2) -> list[Hit]:
    """Returns the first occurrences of a phrase in each of these rollouts, up to `MOST_HITS` rollouts. Two
    queries.
    """
    rows = list(_places(matches, rollouts))
    found = []
    snippets = _snippets(matches.phrase, {row["sha256"] for row in rows if row["sha256"] is not None})
    for row in _first_of_each(rows, of_each):
        sha256 = row.pop("sha256")
        snippet = snippets.get(bytes(sha256), "") if sha256 is not None else row["error"]
        row.pop("error")
        found.append(Hit(**row, snippet=unescape(snippet), marks=matches.phrase.marks))
    return found


def _first_of_each(rows: Sequence[dict[str, Any]], limit: int) -> Iterator[dict[str, Any]]:
    """Yields the first rows of each rollout, with each text once, and a cell's output once."""
    counts: dict[int, int] = {}
    seen = set()
    for row in rows:
        rollout = row["rollout"]
        text = (rollout, row["sha256"] and bytes(row["sha256"]))
        place = (rollout, row["execution"], row["source"].replace("_shown", "_output"))
        if text in seen or (row["execution"] and place in seen) or counts.get(rollout, 0) == limit:
            continue
        seen |= {text, place}
        counts[rollout] = counts.get(rollout, 0) + 1
        yield row


def _places(matches: Matches, rollouts: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yields the occurrences in these rollouts; for a common phrase, a few per rollout."""
    sources = "\nUNION ALL ".join(
        f"SELECT '{source.name}' AS source, {number} AS rank, {source.name}.*"
        f" FROM ({source.any if matches.is_common else source.among}) AS {source.name} WHERE rollout = asked.id"
        for number, source in enumerate(_SOURCES)
    )
    error = f"""
        SELECT 'error', {len(_SOURCES)}, id, attempt, NULL, '', NULL, NULL, NULL
          FROM rlm_runs_rollout WHERE id = asked.id AND left(error, {CHARS}) ~* %s"""
    place = matches.phrase.place_sql
    if matches.is_common:
        within = f"""SELECT s.* FROM ({sources}) AS s JOIN rlm_runs_text x USING (sha256)
                      WHERE left(x.body, {CHARS}) ~* %s LIMIT {_OF_COMMON}"""
        parameters: list[Any] = [place]
    else:
        within, parameters = sources, [matches.texts] * _ARRAYS
    statement = f"""
        SELECT p.rollout, p.source, p.attempt, p.trajectory, p.kind, p.turn + 1 AS turn, p.execution,
               (SELECT nullif(count(*), 0) FROM rlm_runs_execution e JOIN rlm_runs_turn t ON t.id = e.turn_id,
                       rlm_runs_execution own
                 WHERE own.id = p.execution AND t.trajectory_id = p.trajectory AND e.kind = 'cell'
                   AND own.kind = 'cell' AND (t.index, e.position) <= (p.turn, own.position)) AS cell,
               p.attempt = r.attempt AS is_of_last_attempt, p.sha256,
               CASE WHEN p.source = 'error' THEN left(r.error, {_SNIPPET}) END AS error
          FROM unnest(%s::bigint[]) AS asked (id)
               CROSS JOIN LATERAL (({within}) UNION ALL {error}) AS p
               JOIN rlm_runs_rollout r ON r.id = p.rollout
         ORDER BY p.rollout, p.attempt DESC, p.kind = 'sub', p.turn, p.rank, p.trajectory LIMIT {MOST_HITS}"""
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(rollouts), *parameters, place])
        columns = [column.name for column in cursor.description]
        for row in cursor.fetchall():
            yield dict(zip(columns, row, strict=True))


def _snippets(sought: Phrase, texts: set[Any]) -> dict[bytes, str]:
    """Returns a map of text → an excerpt that starts shortly before the first occurrence."""
    if not texts:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT sha256, start > 1, substr(body, greatest(start, 1), {_SNIPPET})
                  FROM rlm_runs_text,
                       LATERAL (SELECT regexp_instr({BEGINNING_SQL}, %s, 1, 1, 0, 'i') - {_BEFORE}) AS at (start)
                 WHERE sha256 = ANY (%s)""",
            [sought.place_sql, [bytes(text) for text in texts]],
        )
        return {
            bytes(sha256): _HALF_WORD.sub("… ", snippet, count=1) if is_cut else snippet
            for sha256, is_cut, snippet in cursor.fetchall()
        }
