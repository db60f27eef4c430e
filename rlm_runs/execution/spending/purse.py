"""The purse of a process: what it may spend on each experiment that has a budget.

A call that fits into this process's grant begins at once. Otherwise one thread asks the ledger for what all
waiting calls need. Spending and grants together never exceed a budget, so only calls in flight that cost more than
their estimates can exceed it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from django.db import Error, connection, transaction

from . import ledger
from .amounts import NOTHING, Amount, Budget
from .budget_control import pause_at_budget, reached

logger = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between two reads of the ledger while rollouts run."""
_SPACING = 0.05
_MOST_ESTIMATED = 16
"""The number of waiting calls that are re-estimated at each check."""
_PAUSE_AFTER_ERROR = 0.5


@dataclass(eq=False)
class Call:
    """A call with its estimate. `woken` is set when it may begin, or when the experiment is paused."""

    estimated: Callable[[], Amount]
    admitted: bool = False
    woken: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.estimate = self.estimated()


@dataclass(eq=False)
class Account:
    """The account of one experiment. All amounts are totals since this process started."""

    experiment: int
    budget: Budget
    spent: Amount = NOTHING
    """The cost of ended calls, stored or not."""
    assumed: Amount = NOTHING
    """The part of `spent` that is estimated, because cost or usage is unknown."""
    reserved: Amount = NOTHING
    """Estimates of calls in flight."""
    granted: Amount = NOTHING
    granted_until: float = 0.0
    recent: Amount = NOTHING
    """The cost of calls that ended since the last grant."""
    is_paused: bool = False
    """Whether the experiment reached its budget."""
    waiting: deque[Call] = field(default_factory=deque)
    users: int = 0
    is_leased: bool = False

    def fits(self, estimate: Amount, *, now: float) -> bool:
        """Returns whether a call may begin."""
        if not self.budget:
            return not self.is_paused
        wanted = self.spent + self.reserved + estimate
        return (
            not self.is_paused
            and now < self.granted_until
            and (self.budget.dollars is None or wanted.dollars <= self.granted.dollars)
            and (self.budget.tokens is None or wanted.tokens <= self.granted.tokens)
        )


class Purse:
    """The accounts of a process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[int, Account] = {}
        self._work = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self, experiment: int, budget: Budget) -> Account:
        """Opens the account of an experiment for one more rollout, and returns it."""
        with self._lock:
            account = self._accounts.setdefault(experiment, Account(experiment, budget))
            if account.users == 0:
                account.budget, account.is_paused = budget, False
            account.users += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="purse", daemon=True)
                self._thread.start()
        self._work.set()
        return account

    def close_account(self, account: Account) -> None:
        """Notes that one rollout fewer uses the account."""
        with self._lock:
            account.users -= 1
        self._work.set()

    def enter(self, account: Account, call: Call) -> None:
        """Queues a call, which begins now or later. Its `woken` is set then."""
        with self._lock:
            account.waiting.append(call)
            self._admit(account)
            must_ask = not call.admitted
        if must_ask:
            self._work.set()

    def leave(self, account: Account, call: Call) -> None:
        """Removes a call that no longer waits."""
        with self._lock:
            if call.admitted:
                account.reserved -= call.estimate
            else:
                account.waiting.remove(call)

    def end(self, account: Account, call: Call, *, cost: Amount, assumed: Amount) -> None:
        """Ends a call, with the known part of its cost and the amount assumed for the rest."""
        with self._lock:
            account.reserved -= call.estimate
            account.spent += cost + assumed
            account.assumed += assumed
            account.recent += cost + assumed
            self._admit(account)

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join(5)

    def _admit(self, account: Account) -> None:
        now = time.monotonic()
        while account.waiting and account.fits(account.waiting[0].estimate, now=now):
            call = account.waiting.popleft()
            account.reserved += call.estimate
            call.admitted = True
            call.woken.set()

    def _keep(self) -> None:
        wait: float | None = None
        while not self._closed.is_set():
            self._work.wait(wait)
            self._work.clear()
            try:
                wait = TICK if self._look() else None
            except Error as error:
                logger.warning("budgets wait for the database: %s", error)
                wait = _PAUSE_AFTER_ERROR
            except Exception:  # without this thread no call would begin again
                logger.exception("budgets could not be looked at")
                wait = _PAUSE_AFTER_ERROR
            finally:
                connection.close()
            time.sleep(_SPACING)

    def _look(self) -> bool:
        """Updates every account. Returns whether rollouts run."""
        with self._lock:
            accounts = list(self._accounts.values())
        found = ledger.budgets([account.experiment for account in accounts])
        for account in accounts:
            budget, is_paused = found.get(account.experiment, (Budget(), False))
            self._update_budget(account, budget, is_paused=is_paused)
            if budget and (account.users or account.is_leased):
                self._ask(account)
            with self._lock:
                if not account.users and not account.is_leased:
                    del self._accounts[account.experiment]
        return any(account.users for account in accounts)

    def _update_budget(self, account: Account, budget: Budget, *, is_paused: bool) -> None:
        """Updates an account's budget, and wakes waiting calls if the experiment is paused."""
        with self._lock:
            account.budget, account.is_paused = budget, is_paused
            if is_paused:
                for call in account.waiting:
                    call.woken.set()
            elif not budget:
                self._admit(account)

    def _ask(self, account: Account) -> None:
        """Asks for what the calls of an account need, and returns what they do not."""
        with self._lock:
            asked_at, before = time.monotonic(), account.granted
            used, assumed = account.spent + account.reserved, account.assumed
            for call in islice(account.waiting, _MOST_ESTIMATED):
                call.estimate = call.estimated()  # the estimate may have improved since the call began to wait
            head = account.waiting[0].estimate if account.waiting else None
            wanted = sum((call.estimate for call in account.waiting), account.recent)
            account.recent = NOTHING
            account.granted = used  # nothing begins until the answer arrives, which may be a smaller grant
        granted = before
        try:
            with transaction.atomic():
                standing = ledger.locked_standing(account.experiment)
                left = standing.budget.left(standing.others + used)
                if head is not None and head.larger(left) != left:
                    left = Amount()  # too little for a call; another process may need less
                granted = used + wanted.smaller(left)
                ledger.grant(account.experiment, granted, assumed=assumed)
        finally:
            with self._lock:
                account.granted = granted
        with self._lock:
            account.granted_until = asked_at + ledger.LEASE - 1
            account.is_leased = bool(account.users)
            self._admit(account)
        if head is not None and not account.is_paused and (why := reached(standing, next_call=head)):
            pause_at_budget(account.experiment, why)


PURSE = Purse()
"""The purse of this process."""
