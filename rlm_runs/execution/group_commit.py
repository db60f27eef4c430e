"""Group commit: one thread of the process writes the events of all its rollouts in shared transactions.

A rollout that records waits until its events are committed. During one transaction, the events of other rollouts
collect for the next one. A thousand rollouts thus need one database connection to record.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from django.db import transaction

from ..engine.events import Event
from ..models import Turn
from . import call_counts, spend_counts
from .fence import lock_held
from .patience import patiently
from .recorder import ClaimLost, Recorder
from .spending import ledger
from .trace_rows import PendingRows

logger = logging.getLogger(__name__)

_MOST_AT_ONCE = 256


@dataclass(frozen=True)
class _Request:
    recorder: Recorder
    events: Sequence[Event]
    done: Future[None] = field(default_factory=Future)


class GroupCommit:
    """The group commit of a process's rollouts. Thread-safe; each rollout records from one thread at a time."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._spent: dict[int, ledger.Spent] = {}
        self._thread: threading.Thread | None = None

    def record(self, recorder: Recorder, events: Sequence[Event]) -> None:
        """Records events and waits for their commit. Raises ClaimLost, and the database's errors after
        patience.
        """
        self._start()
        request = _Request(recorder, events)
        self._requests.put(request)
        request.done.result()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._commit_forever, name="commits", daemon=True)
                self._thread.start()

    def _commit_forever(self) -> None:
        while True:
            requests = [self._requests.get()]
            while len(requests) < _MOST_AT_ONCE:
                try:
                    requests.append(self._requests.get_nowait())
                except queue.Empty:
                    break
            self._commit(requests)

    def _commit(self, requests: Sequence[_Request]) -> None:
        """Commits all requests together. If that fails, commits each alone, so that one cannot fail the others."""
        added = []
        for request in requests:
            try:
                for event in request.events:
                    request.recorder.add(event)
                added.append(request)
            except Exception as error:
                _settle(request, error)
        if added:
            self._commit_added(added)

    def _commit_added(self, added: Sequence[_Request]) -> None:
        try:
            written = patiently(lambda: self._write(added))
        except Exception as error:
            if len(added) == 1:
                _settle(added[0], error)
            else:
                for request in added:
                    self._commit_added([request])
        else:
            for request in added:
                lost = ClaimLost(f"rollout {request.recorder.rollout.pk} was taken over")
                _settle(request, None if request in written else lost)

    def _write(self, requests: Sequence[_Request]) -> Sequence[_Request]:
        """Writes the requests whose rollouts are still held, and returns them."""
        with transaction.atomic():
            held = lock_held([one.recorder.rollout for one in requests if one.recorder.rescoring is None])
            kept = [one for one in requests if _may_write(one.recorder, held)]
            rows = PendingRows()
            for request in kept:
                rows.merge(request.recorder.pending)
            written = rows.write()
            turns = rows.inserts[Turn]
            calls = [(rows.experiments[key], rows.models[key], turns[key]) for key in written]
            call_counts.count((model, turn) for _, model, turn in calls)
            spend_counts.count(calls)
            spent = ledger.with_events(
                self._spent, ((one.recorder.rollout.experiment_id, one.events) for one in kept)
            )
            ledger.write(spent)
            for request in sorted(kept, key=lambda request: request.recorder.rollout.pk):
                request.recorder.update_rollout()
        self._spent |= spent
        return kept


def _may_write(recorder: Recorder, held: Collection[int]) -> bool:
    """Returns whether the recorder's rollout is still held. A rescoring has its own claim instead."""
    return recorder.rescoring is not None or recorder.rollout.pk in held or recorder.end_is_stored()


def _settle(request: _Request, error: Exception | None) -> None:
    request.recorder.forget()
    if error is None:
        request.done.set_result(None)
    else:
        request.done.set_exception(error)
