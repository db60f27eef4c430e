"""Tells whether the container engine answers, and whether it was unavailable a moment ago.

An engine that stops takes its containers with it. After losing a container, callers ask here whether the engine or
the code in the container is to blame.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from docker.api.client import APIClient

from sandbox.containers import EngineErrors

logger = logging.getLogger(__name__)

_LATELY_SECONDS = 15.0
"""Seconds after a restart of the engine within which a lost container is attributed to it."""


class EngineWatch:
    """The watch over one engine. `client` has a short timeout; `on_return` is called when the engine answers
    again.
    """

    def __init__(self, client: APIClient, *, on_return: Callable[[], None]) -> None:
        self._client = client
        self._on_return = on_return
        self._is_away = False
        self._seen_away_at = -_LATELY_SECONDS

    @property
    def is_away(self) -> bool:
        """Whether the engine failed to answer the last time."""
        return self._is_away

    def answers(self) -> bool:
        """Returns whether the engine answers now."""
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
        """Returns whether the engine is unavailable now, or was within the last seconds."""
        return not self.answers() or time.monotonic() - self._seen_away_at < _LATELY_SECONDS
