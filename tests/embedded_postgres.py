"""A pytest plugin that starts the embedded Postgres before Django's settings are read, unless one is given.

Loaded with `-p tests.embedded_postgres`; the workers of pytest-xdist find DATABASE_URL set and start nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from rlm_runs.embedded import EmbeddedPostgres

_postgres: EmbeddedPostgres | None = None

if not os.environ.get("DATABASE_URL"):
    _postgres = EmbeddedPostgres(Path(os.environ["RLM_VAR_DIR"]))
    os.environ["DATABASE_URL"] = _postgres.url


def pytest_unconfigure() -> None:
    """Stops the server that this process started."""
    if _postgres is not None:
        _postgres.stop()
