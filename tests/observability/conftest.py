"""An experiment with every kind of rollout."""

from tests.factories.fixtures import fresh_snapshots, played, queued  # noqa: F401
