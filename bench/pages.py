"""The speed of pages: server time per warm request, beside the database's time for the same rollouts.

    python -m bench.pages [--rollouts 100000] [--requests 40] [--json]

The store is filled once under var/bench and kept. Times are the 95th percentile of a whole request in the server's
process (middleware, view, template). The reference is the least SQL that reads the same rollouts: a count and a
mean of them, or fifty of them. `large` is the experiment that holds a third of the store.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import psycopg

from bench.filled_store import served
from bench.report import Figure, show

if TYPE_CHECKING:
    from django.test import Client

MOST_BYTES = 256_000
SUM = "SELECT count(*), avg(reward) FROM rlm_runs_rollout r JOIN rlm_runs_arm a ON a.id = r.arm_id WHERE {where}"
FIFTY = "SELECT * FROM rlm_runs_rollout r WHERE {where} ORDER BY id DESC LIMIT 50"


@dataclass(frozen=True)
class Page:
    """One URL to measure, the maximum milliseconds that it may take, and its floor in SQL."""

    name: str
    address: str
    limit: float
    floor: str


def pages(connection: psycopg.Connection) -> Iterator[Page]:
    """Yields the pages that readers open most, on experiments of 750 and 6,000 rollouts and of a third of the
    store.
    """
    usual, large = "bench-4", "bench-2"
    figures = ("reward", "lift", "tokens", "efficiency", "seconds", "reward-tokens", "context-length")
    yield Page("home", "/", 50, "SELECT day, model, sum(cost) FROM rlm_runs_spendday GROUP BY day, model")
    yield Page("palette", "/palette/?q=oolong+rlm", 50, "SELECT id FROM rlm_runs_arm WHERE environment = 'oolong'")
    yield Page("experiments", "/experiments/", 50, "SELECT * FROM rlm_runs_experiment ORDER BY id DESC LIMIT 25")
    for slug, words in ((usual, "750 rollouts"), ("bench-1", "6,000 rollouts"), (large, "a third of the store")):
        of = f"a.experiment_id = (SELECT id FROM rlm_runs_experiment WHERE slug = '{slug}')"
        yield Page(f"experiment, {words}", f"/experiments/{slug}/", 150, SUM.format(where=of))
        for name in figures:
            address = f"/experiments/{slug}/figures/{name}/"
            yield Page(f"figure {name}, {words}", address, 200, SUM.format(where=of))
        yield Page(f"behaviour, {words}", f"/experiments/{slug}/behaviour/", 200, SUM.format(where=of))
        yield Page(f"arms, {words}", f"/experiments/{slug}/arms/", 150, SUM.format(where=of))
        yield Page(f"figures in small, {words}", f"/experiments/{slug}/figures/", 150, SUM.format(where=of))
        small = f"/experiments/{slug}/figures/reward/small/"
        yield Page(f"a small figure, {words}", small, 50, SUM.format(where=of))
    arms = [
        row[0] for row in connection.execute("SELECT id FROM rlm_runs_arm WHERE experiment_id = 1 ORDER BY id")
    ]
    compared = urlencode({"arm": arms}, doseq=True)
    of = f"a.id IN ({', '.join(map(str, arms))})"
    yield Page("compare, 12 arms × 500 examples", f"/compare/?{compared}", 300, SUM.format(where=of))
    queries = {
        "newest first": {},
        "by reward": {"sort": "-reward"},
        "by cost, rising": {"sort": "cost"},
        "by time": {"sort": "-seconds"},
        "by environment": {"sort": "env"},
        "by turns": {"sort": "-turns"},
        "by largest batch, no index": {"sort": "-maxbatch"},
        "env:oolong scaffold:rlm reward:<1 subcalls:>10": {"q": "env:oolong scaffold:rlm reward:<1 subcalls:>10"},
        "failure:wrong_answer by cost": {"q": "failure:wrong_answer", "sort": "-cost"},
        "stop:prompt_too_long": {"q": "stop:prompt_too_long"},
        "timeouts:>0, none, no index": {"q": "timeouts:>0"},
        "set.subset:real": {"q": "set.subset:real"},
        "metric.exact_match:<0.001": {"q": "metric.exact_match:<0.001"},
    }
    for words, query in queries.items():
        yield Page(f"rollouts, {words}", f"/rollouts/?{urlencode(query)}", 50, FIFTY.format(where="true"))
    where = f"r.experiment_id = (SELECT id FROM rlm_runs_experiment WHERE slug = '{large}')"
    yield Page(
        "rollouts of large by reward",
        f"/experiments/{large}/rollouts/?sort=-reward",
        50,
        FIFTY.format(where=where),
    )
    yield Page(
        "rollouts of large by retries, no index",
        f"/experiments/{large}/rollouts/?sort=-retries",
        50,
        FIFTY.format(where=where),
    )
    yield Page(
        "rollouts of large, page API", f"/api/rollouts/?q=experiment%3A{large}", 50, FIFTY.format(where=where)
    )
    fifty = {
        "environments": "oolong",
        "environments.oolong.context_length_min": "500, 600, 700, 800, 900",
        "scaffolds": "rlm",
        "scaffolds.rlm.max_turns": ", ".join(map(str, range(11, 21))),
        "models": "demo-model",
        "examples": 50,
    }
    address = f"/launch/preview/?{urlencode(fifty)}"
    yield Page("launch, preview of 50 arms", address, 300, SUM.format(where="a.environment = 'oolong'"))
    yield Page("models", "/models/", 50, "SELECT model, sum(calls) FROM rlm_runs_modelhour GROUP BY model")
    yield Page("rollout", f"/rollouts/{_newest(connection)}/", 50, FIFTY.format(where="true"))
    yield Page("search for a word, few hits", "/rollouts/?q=word4242", 250, FIFTY.format(where="true"))
    yield Page("search for a word in all traces", "/rollouts/?q=llm_batch", 250, FIFTY.format(where="true"))


def _newest(connection: psycopg.Connection) -> int:
    found = connection.execute("SELECT min(rollout_id) FROM rlm_runs_trajectory").fetchone()
    assert found is not None
    return int(found[0])


def measure(page: Page, *, client: Client, connection: psycopg.Connection, requests: int) -> tuple[Figure, int]:
    """Returns the page's figure, and the size of its uncompressed response in bytes."""
    response = client.get(page.address)
    assert response.status_code == 200, f"{page.address} answered {response.status_code}"
    size = sum(map(len, response.streaming_content)) if response.streaming else len(response.content)
    value = percentile95([milliseconds(lambda: client.get(page.address)) for _ in range(requests)])
    floor = statistics.median(milliseconds(lambda: connection.execute(page.floor).fetchall()) for _ in range(5))
    return Figure(page.name, value, "ms", "least SQL", floor), size


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def percentile95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def reader() -> Client:
    """Returns a test client that is logged in."""
    from django.contrib.auth.models import User
    from django.test import Client

    user, _ = User.objects.get_or_create(username="bench")
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=100_000, help="size of the store")
    parser.add_argument("--requests", type=int, default=40, help="warm requests per page")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    with served(rollouts=options.rollouts) as address, psycopg.connect(address, autocommit=True) as connection:
        client = reader()
        for page in pages(connection):
            figure, size = measure(page, client=client, connection=connection, requests=options.requests)
            over = "" if figure.value <= page.limit and size <= MOST_BYTES else "  OVER"
            named = figure if options.json else replace(figure, name=f"{figure.name}{over}")
            show(named, as_json=options.json, limit=page.limit, bytes=size)


if __name__ == "__main__":
    main()
