"""An experiment with something of everything, as the pages' tests have it."""

from tests.factories.fixtures import fresh_snapshots, played, queued  # noqa: F401
