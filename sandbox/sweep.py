"""Removes what dead owners left behind, and nothing that belongs to anyone else.

Sandboxes normally clean up after themselves. After a crash, the owner's name identifies what is left.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from sandbox.owner import Owner

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 45.0
"""Seconds between sweeps; less than the minute by which a sandbox may outlive its deadline."""
SCRATCH_PREFIX = "scratch-"
OWNER_FILE = ".owner"


def sweep_scratch(folder: Path) -> list[Path]:
    """Removes the scratch folders of process sandboxes whose owner is dead. Returns their paths."""
    removed = []
    for scratch in folder.glob(f"{SCRATCH_PREFIX}*"):
        with contextlib.suppress(OSError):
            owner = Owner.parse((scratch / OWNER_FILE).read_text())
            if owner is not None and owner.is_dead():
                shutil.rmtree(scratch)
                removed.append(scratch)
    return removed


class Sweeper:
    """A thread that sweeps at intervals while its backend is open."""

    def __init__(self, sweep: Callable[[], object], *, name: str) -> None:
        self._sweep = sweep
        self._closed = threading.Event()
        self._due = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def soon(self) -> None:
        """Sweeps now instead of at the next interval."""
        self._due.set()

    def close(self) -> None:
        self._closed.set()
        self._due.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._due.wait(SWEEP_SECONDS)
            self._due.clear()
            if self._closed.is_set():
                return
            try:
                self._sweep()
            except Exception:  # the engine may be restarting; the next sweep tries again
                logger.warning("the sweep of old sandboxes failed", exc_info=True)
