"""Full-text search over what was said: prompts, code, outputs, completions, answers, and the errors of rollouts.

Words are looked up in an index over the first `CHARS` characters of each text (migration 0003). Whatever is no
letter and no digit parts words, in texts and in what is asked, so that `llm_batch` and `re.findall` are found by
all of it and by each part. Words of one phrase must stand beside each other, which the text itself is asked: the
index forgets places beyond the 16,383rd word. From the texts the way leads back to rollouts through every column
that has a digest. System prompts are left out: they are the same in every rollout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models.expressions import RawSQL
from psycopg.errors import QueryCanceled

from .models.texts import unescape

CHARS = 100_000
"""Of each text, from its beginning. So few that no text can be too much for an index entry, whatever is in it."""
MOST_TEXTS = 5_000
"""Texts that one search goes on from: a word that is in more of them finds rollouts of these only."""
MOST_WORDS = 8
"""Phrases in one query."""
MOST_HITS = 200
"""Places looked at for one page of a list."""
SECONDS = 5
_LONGEST_WORD = 200
_BEFORE, _SNIPPET = 80, 260

_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\x1a\x1b"
_WORD = re.compile(r"[^\W_]+")
_GAP_SQL = r"(?:\\[nrt]|[^[:alnum:]])+"
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
"""The words of a text, as the index has them. Colours of terminals are no words, nor the n of an escaped line end:
code stands in its texts as JSON."""
OPENING_SQL = """jsonb_path_query_array(opening, '$[*] ? (@.role != "system").text')"""
ERROR_SQL = VECTOR_SQL.replace("body", "error")


class TooSlow(RuntimeError):
    """A search that was broken off."""


class NotSearchable(ValueError):
    """Words that no text can have; the message says why."""


@dataclass(frozen=True)
class Phrase:
    """Words that stand beside each other; the last one may be a beginning (`promp*`)."""

    words: tuple[str, ...]
    is_open: bool

    @property
    def tsquery(self) -> str:
        """For to_tsquery. Words are letters and digits, so nothing in them means anything there."""
        return " & ".join(f"'{word}'" for word in self.words) + ":*" * self.is_open

    @property
    def place_sql(self) -> str:
        """A regular expression of Postgres for a place where it stands."""
        end = "" if self.is_open else "(?:$|[^[:alnum:]])"
        return rf"(?:^|\\[nrt]|[^[:alnum:]]){_GAP_SQL.join(self.words)}{end}"

    @property
    def marks(self) -> str:
        """A regular expression of Python for the words themselves."""
        end = r"[^\W_]*" if self.is_open else r"(?![^\W_])"
        return rf"(?:(?<![^\W_])|(?<=\\[nrt])){_GAP.join(map(re.escape, self.words))}{end}"


@contextmanager
def bounded() -> Iterator[None]:
    """Breaks off each query that takes longer than `SECONDS`. Raises TooSlow."""
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
    """What to look for. Raises NotSearchable."""
    words = tuple(_WORD.findall(said))
    if not words:
        raise NotSearchable("letters or digits are searched for; this has none")
    if any(len(word) > _LONGEST_WORD for word in words):
        raise NotSearchable(f"a word has at most {_LONGEST_WORD} characters")
    return Phrase(words=words, is_open=said.endswith("*"))


def rollouts_with(said: str) -> RawSQL:
    """The ids of the rollouts in whose texts or error a phrase stands, as a subquery. Raises NotSearchable."""
    sought = phrase(said)
    with_text = "\nUNION ".join(f"SELECT rollout FROM ({source.sql}) AS {source.name}" for source in _SOURCES)
    in_error, of_error = _matches(sought, vector=ERROR_SQL, body="error")
    found, parameters = _found(sought)
    statement = f"""
        WITH found AS MATERIALIZED ({found})
        {with_text}
        UNION SELECT id FROM rlm_runs_rollout WHERE error <> '' AND {in_error}"""
    return RawSQL(statement, [*parameters, *of_error])


def is_common(said: str) -> bool:
    """Whether it stands in more texts than one search goes on from."""
    where, parameters = _matches(phrase(said))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT FROM rlm_runs_text WHERE {where} LIMIT {MOST_TEXTS + 1}) AS matching",
            parameters,
        )
        return bool(cursor.fetchone()[0] > MOST_TEXTS)


def _matches(sought: Phrase, *, vector: str = VECTOR_SQL, body: str = "body") -> tuple[str, list[str]]:
    """The condition on a text, with its parameters."""
    where = f"{vector.replace('%', '%%')} @@ to_tsquery('simple', %s)"
    if len(sought.words) == 1:
        return where, [sought.tsquery]
    return f"{where} AND left({body}, {CHARS}) ~* %s", [sought.tsquery, sought.place_sql]


def _found(sought: Phrase) -> tuple[str, list[str]]:
    """The digests of the matching texts as one array, which every source is asked for by its index."""
    where, parameters = _matches(sought)
    texts = f"SELECT sha256 FROM rlm_runs_text WHERE {where} LIMIT {MOST_TEXTS}"
    return f"SELECT coalesce(array_agg(sha256), '{{}}') AS texts FROM ({texts}) AS matching", parameters


@dataclass(frozen=True)
class _Source:
    """One way from texts to rollouts: `sql` selects rollout, attempt, trajectory, kind, turn, execution and sha256
    of the texts that were found.
    """

    name: str
    sql: str


_AMONG = "= ANY ((SELECT texts FROM found)::bytea[])"


def _of_turn(part: str) -> _Source:
    return _Source(
        f"turn_{part}",
        f"""SELECT j.rollout_id AS rollout, j.attempt, j.id AS trajectory, j.kind, t.index AS turn,
               NULL::bigint AS execution, t.{part}_id AS sha256
          FROM rlm_runs_turn t JOIN rlm_runs_trajectory j ON j.id = t.trajectory_id
         WHERE t.{part}_id {_AMONG}""",
    )


def _of_execution(part: str) -> _Source:
    return _Source(
        f"execution_{part}",
        f"""SELECT j.rollout_id AS rollout, j.attempt, j.id AS trajectory, j.kind, t.index AS turn,
               e.id AS execution, e.{part}_id AS sha256
          FROM rlm_runs_execution e JOIN rlm_runs_turn t ON t.id = e.turn_id
               JOIN rlm_runs_trajectory j ON j.id = t.trajectory_id
         WHERE e.{part}_id {_AMONG}""",
    )


def _of_example(part: str) -> _Source:
    return _Source(
        f"example_{part}",
        f"""SELECT r.id AS rollout, r.attempt, NULL::bigint AS trajectory, '' AS kind, NULL::int AS turn,
               NULL::bigint AS execution, x.{part}_id AS sha256
          FROM rlm_runs_example x JOIN rlm_runs_rollout r ON r.example_id = x.id
         WHERE x.{part}_id {_AMONG}""",
    )


_SOURCES = (
    _of_example("prompt"),
    _of_example("input_data"),
    _of_example("answer"),
    _Source(
        "opening",
        f"""SELECT j.rollout_id AS rollout, j.attempt, j.id AS trajectory, j.kind, NULL::int AS turn,
               NULL::bigint AS execution, decode(digest.hex, 'hex') AS sha256
          FROM rlm_runs_trajectory j CROSS JOIN jsonb_array_elements_text({OPENING_SQL}) AS digest (hex)
         WHERE {OPENING_SQL} ?| (SELECT ARRAY(SELECT encode(t, 'hex') FROM unnest(texts) AS t) FROM found)
           AND decode(digest.hex, 'hex') {_AMONG}""",
    ),
    *map(_of_turn, ("content", "reasoning", "reply")),
    *map(_of_execution, ("arguments", "output", "shown", "out", "answer")),
    _Source(
        "trajectory_answer",
        f"""SELECT j.rollout_id AS rollout, j.attempt, j.id AS trajectory, j.kind, NULL::int AS turn,
               NULL::bigint AS execution, j.answer_id AS sha256
          FROM rlm_runs_trajectory j WHERE j.answer_id {_AMONG}""",
    ),
    _Source(
        "rollout_answer",
        f"""SELECT r.id AS rollout, r.attempt, NULL::bigint AS trajectory, '' AS kind, NULL::int AS turn,
               NULL::bigint AS execution, r.answer_id AS sha256
          FROM rlm_runs_rollout r WHERE r.answer_id {_AMONG}""",
    ),
)


@dataclass(frozen=True)
class Hit:
    """A place where a phrase stands. `source` names the kind of place, as `_SOURCES` and "error" do; `turn` is its
    number from 1, `cell` that of the cell in its conversation. `snippet` is some text around the place as it was.
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


def hits(said: str, rollouts: Sequence[int], *, of_each: int = 2) -> list[Hit]:
    """Where a phrase stands in these rollouts: the first places of each, of the first `MOST_HITS`. Two queries."""
    sought = phrase(said)
    rows = list(_places(sought, rollouts))
    found = []
    snippets = _snippets(sought, {row["sha256"] for row in rows if row["sha256"] is not None})
    for row in _first_of_each(rows, of_each):
        sha256 = row.pop("sha256")
        snippet = snippets.get(bytes(sha256), "") if sha256 is not None else row["error"]
        row.pop("error")
        found.append(Hit(**row, snippet=unescape(snippet), marks=sought.marks))
    return found


def _first_of_each(rows: Sequence[dict[str, Any]], limit: int) -> Iterator[dict[str, Any]]:
    """The first rows of each rollout, each text once, and a cell's output once."""
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


def _places(sought: Phrase, rollouts: Sequence[int]) -> Iterator[dict[str, Any]]:
    sources = "\nUNION ALL ".join(
        f"SELECT '{source.name}' AS source, {number} AS rank, {source.name}.* FROM ({source.sql}) AS {source.name}"
        " WHERE rollout = ANY (%s)"
        for number, source in enumerate(_SOURCES)
    )
    found, parameters = _found(sought)
    in_error, of_error = _matches(sought, vector=ERROR_SQL, body="error")
    statement = f"""
        WITH found AS MATERIALIZED ({found}),
        places AS ({sources}
            UNION ALL SELECT 'error', {len(_SOURCES)}, id, attempt, NULL, '', NULL, NULL, NULL
            FROM rlm_runs_rollout WHERE id = ANY (%s) AND error <> '' AND {in_error})
        SELECT p.rollout, p.source, p.attempt, p.trajectory, p.kind, p.turn + 1 AS turn, p.execution,
               (SELECT nullif(count(*), 0) FROM rlm_runs_execution e JOIN rlm_runs_turn t ON t.id = e.turn_id,
                       rlm_runs_execution own
                 WHERE own.id = p.execution AND t.trajectory_id = p.trajectory AND e.kind = 'cell'
                   AND own.kind = 'cell' AND (t.index, e.position) <= (p.turn, own.position)) AS cell,
               p.attempt = r.attempt AS is_of_last_attempt, p.sha256,
               CASE WHEN p.source = 'error' THEN left(r.error, {_SNIPPET}) END AS error
          FROM places p JOIN rlm_runs_rollout r ON r.id = p.rollout
         ORDER BY p.rollout, p.attempt DESC, p.kind = 'sub', p.turn, p.rank, p.trajectory LIMIT {MOST_HITS}"""
    ids = list(rollouts)
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, *[ids] * len(_SOURCES), ids, *of_error])
        columns = [column.name for column in cursor.description]
        for row in cursor.fetchall():
            yield dict(zip(columns, row, strict=True))


def _snippets(sought: Phrase, texts: set[Any]) -> dict[bytes, str]:
    """Text → a piece of it from somewhat before the first place on."""
    if not texts:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT sha256, substr(body, greatest(
                    regexp_instr({BEGINNING_SQL}, %s, 1, 1, 0, 'i') - {_BEFORE}, 1), {_SNIPPET})
                  FROM rlm_runs_text WHERE sha256 = ANY (%s)""",
            [sought.place_sql, [bytes(text) for text in texts]],
        )
        return {bytes(sha256): snippet for sha256, snippet in cursor.fetchall()}
