"""The experiment with something of everything."""

from tests.factories.fixtures import fresh_snapshots, played, queued  # noqa: F401
