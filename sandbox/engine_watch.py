"""Says whether the container engine answers, and whether it was away a moment ago.

An engine that stops takes its containers along. Whoever loses one asks here, so that the loss is the engine's and
not the code's that ran in it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from docker.api.client import APIClient

from sandbox.containers import EngineErrors

logger = logging.getLogger(__name__)

_LATELY_SECONDS = 15.0
"""Losses of one restart are noticed within this time, by however many threads."""


class EngineWatch:
    """Watches one engine. `client` has a short timeout; `on_return` is called when the engine answers again."""

    def __init__(self, client: APIClient, *, on_return: Callable[[], None]) -> None:
        self._client = client
        self._on_return = on_return
        self._is_away = False
        self._seen_away_at = -_LATELY_SECONDS

    @property
    def is_away(self) -> bool:
        """Whether the engine did not answer when it was last asked."""
        return self._is_away

    def answers(self) -> bool:
        """Asks the engine."""
        try:
            self._client.ping()
        except EngineErrors as error:
            if not self._is_away:
                logger.warning("the container engine is away: %s", error)
            self._is_away = True
            self._seen_away_at = time.monotonic()
            return False
        if self._is_away:
            self._is_away = False
            logger.warning("the container engine answers again")
            self._on_return()
        return True

    def was_away_lately(self) -> bool:
        """Returns whether the engine is away now, or was seen to be within the last seconds."""
        return not self.answers() or time.monotonic() - self._seen_away_at < _LATELY_SECONDS
