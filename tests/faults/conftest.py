"""Installations whose parts break: the fixtures of the end-to-end tests, and services of the test's own."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import demo_model, make_system, redis_url  # noqa: F401
from tests.end_to_end.system import ROOT
from tests.faults.installation import Installation
from tests.faults.load import Load
from tests.faults.parts import Broker, Database, open_folder

_numbers = itertools.count(1)
TEMPLATE = "migrated"


def migrate(database: Database) -> None:
    """Makes the migrated database that others are copied from."""
    address = database.fresh(TEMPLATE)
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    variables = {**os.environ, "DATABASE_URL": address, "SECRET_KEY": "of the tests"}
    subprocess.run(command, cwd=ROOT, env=variables, check=True)


@pytest.fixture(scope="module")
def database():
    """A Postgres server of the module's own."""
    with open_folder() as folder:
        server = Database(folder)
        migrate(server)
        yield server
        server.stop()


@pytest.fixture
def load() -> Iterator[Load]:
    with Load() as load:
        yield load


@pytest.fixture
def install(database, load, tmp_path):
    """Makes an installation with variables of its own; ended with the test."""
    made = []

    def make(**variables):
        address = database.fresh(f"faults_{next(_numbers)}", template=TEMPLATE)
        made.append(Installation(tmp_path, database=database, address=address, load=load, **variables))
        return made[-1]

    yield make
    for installation in made:
        installation.stop()


@pytest.fixture
def broker(tmp_path):
    """A Redis server of the test's own."""
    server = Broker(tmp_path)
    yield server
    server.stop()
