"""A store of any size for benchmarks: experiments like those of labs, made by the database itself.

One experiment has twelve arms on the same five hundred examples, one holds a third of all rollouts, and all others
have fifteen arms on fifty examples. Every rollout has what lists and figures read. The first hundred thousand have
a short trace, so that search finds words.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from rlm_runs.embedded import EmbeddedPostgres

VAR = Path(__file__).resolve().parent.parent / "var/bench"
TRACED = 100_000
ARMS, EXAMPLES = 15, 50

_EXPERIMENTS = """
INSERT INTO rlm_runs_experiment (slug, name, description, spec, seed, sources, code_version, created_at)
SELECT 'bench-' || e, 'bench ' || e, '', '{}', e, '[]', '', now() - make_interval(hours => %(experiments)s - e)
  FROM generate_series(1, %(experiments)s) e
"""
_ARMS = """
INSERT INTO rlm_runs_arm (experiment_id, position, environment, environment_settings, scaffold, scaffold_settings,
                          model, sub_model, judge_model, endpoint, simulated, sampling, sandbox_image,
                          settings_hash)
SELECT e.id, a,
       CASE WHEN e.slug = 'bench-1' THEN 'oolong'
            ELSE (ARRAY['oolong', 'verbatim-copy', 'needle-in-haystack', 'deepdive', 'math-python'])[a / 3 + 1]
       END,
       jsonb_build_object('subset', 'real'),
       (ARRAY['llm', 'rlm', 'rlm_tips'])[a %% 3 + 1], jsonb_build_object('cell_time_limit', 120),
       CASE WHEN e.slug = 'bench-1' THEN 'model-' || a / 3 ELSE 'gpt-5-mini' END,
       'gpt-5-mini', '', 'openai', false, '{}', '', sha256((e.slug || '/' || a)::bytea)
  FROM rlm_runs_experiment e, generate_series(0, CASE WHEN e.slug = 'bench-1' THEN 11 ELSE %(last_arm)s END) a
"""
_TEXTS = """
INSERT INTO rlm_runs_text (sha256, body, chars)
SELECT sha256(body::bytea), body, length(body)
  FROM (SELECT 'example ' || i || ' of the store: count the messages of user ' || i %% 97 AS body
          FROM generate_series(0, %(examples)s - 1) i
         UNION ALL SELECT 'gold') bodies
"""
_EXAMPLES = """
INSERT INTO rlm_runs_example (environment, content_hash, prompt_id, answer_id, metadata)
SELECT (ARRAY['oolong', 'verbatim-copy', 'needle-in-haystack', 'deepdive', 'math-python'])[n + 1],
       sha256((n || '/' || i)::bytea),
       sha256(('example ' || i || ' of the store: count the messages of user ' || i %% 97)::bytea),
       sha256('gold'::bytea),
       jsonb_build_object('context_length', 1000 + (i * 7919) %% 400000, 'kind', 'kind ' || i %% 5)
  FROM generate_series(0, 4) n, generate_series(0, %(examples)s - 1) i
"""
_ROLLOUTS = """
INSERT INTO rlm_runs_rollout (
    experiment_id, arm_id, example_id, example_position, repetition, status, stop_reason, reward, metrics, error,
    error_boundary, sandbox_backend, attempt, worker, created_at, started_at, finished_at, seconds,
    reported, turns, cells, tool_calls, batches, sub_calls, sub_turns, main_prompt_tokens, main_cached_tokens,
    main_completion_tokens, main_reasoning_tokens, sub_prompt_tokens, sub_cached_tokens, sub_completion_tokens,
    sub_reasoning_tokens, cost, earlier_cost, judge_cost, retries, model_seconds, retry_seconds, cell_seconds,
    sub_seconds, tool_seconds, cell_errors, cells_cut, cells_timed_out, max_batch, max_parallel, first_answer_turn,
    answer_edits, failure_modes)
SELECT a.experiment_id, a.id, x.id, x.n, 0,
       CASE WHEN too_long THEN 'failed' ELSE 'completed' END,
       CASE WHEN too_long THEN 'prompt_too_long' ELSE 'answer_ready' END,
       CASE WHEN too_long THEN NULL WHEN luck < 0.3 + 0.2 * (a.position %% 3) THEN 1 ELSE 0 END,
       jsonb_build_object('exact_match', round(luck::numeric, 3)), '', '', 'docker', 1, 'w',
       now(), now() - interval '1 hour', now() - make_interval(secs => luck * 3000), luck * 400, false,
       1 + (luck * 20)::int, (luck * 18)::int, 0, (luck * 3)::int, (luck * 40)::int, (luck * 40)::int,
       (luck * 90000)::int, 0, (luck * 9000)::int, 0, (luck * 60000)::int, 0, (luck * 9000)::int, 0,
       round((luck * 0.3)::numeric, 6), 0, 0, 0, luck * 200, 0, luck * 100, luck * 60, 0, (luck * 3)::int, 0, 0,
       (luck * 20)::int, 5, 3, (luck * 3)::int,
       CASE WHEN luck > 0.5 THEN ARRAY['wrong_answer'] ELSE ARRAY[]::varchar[] END
  FROM rlm_runs_arm a
  JOIN rlm_runs_experiment e ON e.id = a.experiment_id
  JOIN (SELECT id, environment, row_number() OVER (PARTITION BY environment ORDER BY id) - 1 AS n
          FROM rlm_runs_example) x ON x.environment = a.environment
   AND x.n < CASE e.slug WHEN 'bench-1' THEN 500 WHEN 'bench-2' THEN %(many)s ELSE %(few)s END,
       LATERAL (SELECT abs(hashint8extended(a.id * 1000003 + x.id, 0) %% 1000003) / 1000003.0 AS luck) l,
       LATERAL (SELECT a.scaffold = 'llm' AND x.n %% 4 = 0 AS too_long) t
"""
_TRACES = """
WITH chosen AS (SELECT id FROM rlm_runs_rollout ORDER BY id LIMIT %(traced)s),
roots AS (
  INSERT INTO rlm_runs_trajectory (rollout_id, attempt, kind, depth, model, opening, tools, started_at,
                                   stop_reason, error)
  SELECT id, 1, 'root', 0, 'gpt-5-mini', '[]', '[]', now(), 'answer_ready', '' FROM chosen
  RETURNING id, rollout_id
), words AS (
  INSERT INTO rlm_runs_text (sha256, body, chars)
  SELECT sha256(body::bytea), body, length(body)
    FROM (SELECT DISTINCT 'Rollout ' || rollout_id || ' splits the context with llm_batch into chunk '
                 || rollout_id %% 977 || ' and aggregates word' || rollout_id %% 4999 AS body FROM roots) b
  ON CONFLICT DO NOTHING
)
INSERT INTO rlm_runs_turn (trajectory_id, index, content_id, finish_reason, usage, price_version, ended_at,
                           seconds, retries, retry_seconds, error)
SELECT id, 0, sha256(('Rollout ' || rollout_id || ' splits the context with llm_batch into chunk '
                 || rollout_id %% 977 || ' and aggregates word' || rollout_id %% 4999)::bytea),
       'stop', '{}', '', now(), 1, 0, 0, ''
  FROM roots
"""
_HOURS = """
INSERT INTO rlm_runs_modelhour (model, hour, writer, calls, errors, retries, unpriced, prompt_tokens,
                                completion_tokens, seconds, cost, provider_cost, last_at)
SELECT name, hour, writer, 5000, 12, 3, 0, 9000000, 400000, 7000, 3.2, 0, hour
  FROM (SELECT 'gpt-5-mini' AS name UNION ALL SELECT 'model-' || m FROM generate_series(1, 19) m) models,
       (SELECT date_trunc('hour', now()) - make_interval(hours => h) AS hour,
               CASE WHEN h < 2 THEN 'w' || w ELSE '' END AS writer
          FROM generate_series(0, 191) h, generate_series(1, 40) w WHERE h < 2 OR w = 1
         UNION ALL
        SELECT date_trunc('month', now()) - make_interval(months => m), '' FROM generate_series(2, 36) m) hours
    ON CONFLICT DO NOTHING
"""
"""Twenty models called by forty workers, for three years."""


@contextmanager
def served(*, rollouts: int, name: str = "bench") -> Iterator[str]:
    """Yields the address of a store of about this size, filled once and kept, with Django set up for it."""
    server = EmbeddedPostgres(VAR)
    address = make_conninfo(server.url, dbname=f"{name}_{rollouts}")
    _create(server.url, f"{name}_{rollouts}")
    os.environ |= {"DATABASE_URL": address, "DJANGO_SETTINGS_MODULE": "rlm_runs.settings", "LOG_LEVEL": "ERROR"}

    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    if rollouts:
        _fill(address, rollouts=rollouts)
    try:
        yield address
    finally:
        server.stop()


def _create(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(f'CREATE DATABASE "{name}"')


def _fill(address: str, *, rollouts: int) -> None:
    """Fills a migrated database, unless it is filled already."""
    with psycopg.connect(address, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM rlm_runs_rollout LIMIT 1").fetchone():
            return
        many = rollouts // 3 // ARMS
        few = max(1, math.ceil((rollouts - 12 * 500 - many * ARMS) / (ARMS * EXAMPLES)))
        size = {
            "experiments": 2 + few,
            "last_arm": ARMS - 1,
            "examples": max(500, many),
            "many": many,
            "few": EXAMPLES,
            "traced": TRACED,
        }
        for statement in (_EXPERIMENTS, _ARMS, _TEXTS, _EXAMPLES, _ROLLOUTS, _TRACES, _HOURS):
            connection.execute(statement, size)
        connection.execute("VACUUM ANALYZE")
