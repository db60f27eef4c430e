"""Waiting for an unavailable container engine, so that its restart does not fail a rollout."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from sandbox.contract import EngineUnavailable, SandboxError

logger = logging.getLogger(__name__)

T = TypeVar("T")
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 2.0


def with_engine_patience(action: Callable[[], T], *, seconds: float, wait: Callable[[float], None]) -> T:
    """Returns the result of `action`, which is called again while the engine is unavailable.

    `wait` sleeps, and raises if the rollout is stopped. Waits double from 0.1 to 2 seconds, with jitter. Raises
    SandboxError after `seconds`.
    """
    began = time.monotonic()
    pause = _FIRST_WAIT
    while True:
        try:
            return action()
        except EngineUnavailable as error:
            waited = time.monotonic() - began
            if waited > seconds:
                raise SandboxError(f"{error} (tried for {waited:.0f} s)") from error
            logger.warning("the container engine is away, trying again: %s", error)
        wait(random.uniform(pause / 2, pause))
        pause = min(pause * 2, _LONGEST_WAIT)
