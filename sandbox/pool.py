"""Warm boxes: started in advance, handed out once, never reused.

For each recently requested spec, one keeper thread keeps `pool_size` boxes ready. A box that is too old, or that
does not answer when it is about to be handed out, is closed and replaced.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from sandbox.box import Box
from sandbox.contract import SandboxError, SandboxSpec
from sandbox.settings import SandboxSettings

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 1.0
_RETRY_SECONDS = 5.0
_NEVER = float("inf")


class OpenBox(Protocol):
    def __call__(self, spec: SandboxSpec, *, lifetime_seconds: float, on_close: CloseNotice) -> Box: ...


class CloseNotice(Protocol):
    def __call__(self, box: Box, /) -> None: ...


@dataclass
class _Shelf:
    """The warm boxes of one spec."""

    boxes: deque[Box] = field(default_factory=deque)
    wanted_at: float = 0.0
    retry_at: float = 0.0


class Pool:
    def __init__(self, *, open_box: OpenBox, settings: SandboxSettings) -> None:
        self._open_box = open_box
        self._settings = settings
        self._shelves: dict[SandboxSpec, _Shelf] = {}
        self._open: set[Box] = set()
        self._changed = threading.Condition()
        self._keeper: threading.Thread | None = None
        self._closed = False

    def take(self, spec: SandboxSpec) -> Box:
        """Returns a fresh box, a warm one if one answers."""
        self.keep_warm(spec)
        while (box := self._from_shelf(spec)) is not None:
            if box.is_alive(timeout=_ANSWER_SECONDS):
                return box
            box.close(kill=True)
        return self._start(spec)

    def keep_warm(self, spec: SandboxSpec) -> None:
        with self._changed:
            if self._closed:
                raise SandboxError("the sandbox backend is closed")
            if self._settings.pool_size == 0:
                return
            self._shelves.setdefault(spec, _Shelf()).wanted_at = time.monotonic()
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="sandbox pool", daemon=True)
                self._keeper.start()
            self._changed.notify_all()

    def sizes(self) -> dict[str, int]:
        """Returns the number of boxes by state: `open` counts all, `warm` those that are not handed out."""
        with self._changed:
            return {"open": len(self._open), "warm": sum(len(shelf.boxes) for shelf in self._shelves.values())}

    def close(self) -> None:
        """Closes every box that is still open, handed out or not."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            keeper = self._keeper
        if keeper is not None:
            keeper.join()
        with self._changed:
            boxes = list(self._open)
        for box in boxes:
            box.close()

    def _from_shelf(self, spec: SandboxSpec) -> Box | None:
        with self._changed:
            shelf = self._shelves.get(spec)
            if shelf is None or not shelf.boxes:
                return None
            self._changed.notify_all()
            return shelf.boxes.popleft()

    def _start(self, spec: SandboxSpec) -> Box:
        lifetime = spec.limits.lifetime_seconds + self._settings.pool_age_seconds
        box = self._open_box(spec, lifetime_seconds=lifetime, on_close=self._forget)
        with self._changed:
            self._open.add(box)
            closed = self._closed
        if closed:
            box.close()
            raise SandboxError("the sandbox backend is closed")
        return box

    def _forget(self, box: Box) -> None:
        with self._changed:
            self._open.discard(box)

    # -- the keeper thread

    def _keep(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = time.monotonic()
                spent = self._take_expired(now)
                spec = self._spec_to_refill(now)
                if not spent and spec is None:
                    self._changed.wait(self._next_change(now))
                    continue
            for box in spent:
                box.close()
            if spec is not None:
                self._refill(spec)

    def _take_expired(self, now: float) -> list[Box]:
        """Removes and returns boxes that are too old, and those of specs without demand."""
        spent: list[Box] = []
        for spec, shelf in list(self._shelves.items()):
            if now >= shelf.wanted_at + self._settings.pool_idle_seconds:
                del self._shelves[spec]
                spent += shelf.boxes
                continue
            while shelf.boxes and now >= shelf.boxes[0].started_at + self._settings.pool_age_seconds:
                spent.append(shelf.boxes.popleft())
        return spent

    def _spec_to_refill(self, now: float) -> SandboxSpec | None:
        for spec, shelf in self._shelves.items():
            if len(shelf.boxes) < self._settings.pool_size and now >= shelf.retry_at:
                return spec
        return None

    def _next_change(self, now: float) -> float | None:
        due = _NEVER
        for shelf in self._shelves.values():
            due = min(due, shelf.wanted_at + self._settings.pool_idle_seconds)
            if shelf.boxes:
                due = min(due, shelf.boxes[0].started_at + self._settings.pool_age_seconds)
            if len(shelf.boxes) < self._settings.pool_size:
                due = min(due, shelf.retry_at)
        return None if due == _NEVER else max(0.0, due - now)

    def _refill(self, spec: SandboxSpec) -> None:
        box: Box | None = None
        try:
            box = self._start(spec)
        except SandboxError as error:  # the next caller starts a box itself and gets the error
            logger.warning("no warm sandbox could be started: %s", error)
        with self._changed:
            shelf = self._shelves.get(spec)
            if shelf is not None and box is not None and not self._closed:
                shelf.boxes.append(box)
                return
            if shelf is not None:
                shelf.retry_at = time.monotonic() + _RETRY_SECONDS
        if box is not None:
            box.close()
