"""A model client that keeps the budget of an experiment: no call begins without room in the budget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...engine.cancellation import CancellationToken
from ...engine.clients.base import Completion, Messages, ModelClient, ToolSchemas, Watcher
from ...engine.clients.token_estimates import estimator
from ...engine.errors import CallAborted, ModelFailure
from ...engine.events import Usage
from ...engine.reported_cost import reported_cost
from .amounts import NOTHING, Amount, Budget
from .purse import PURSE, Account, Call

_LOOK = 0.25
"""Seconds between two checks of a call that waits for the rollout's other calls to end."""

Price = Callable[[str, Usage], Decimal | None]


@dataclass(eq=False)
class RolloutAccount:
    """The state that the calls of one rollout share: the experiment's account, and the number of calls in
    flight.
    """

    account: Account
    price: Price
    in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_idle(self) -> bool:
        """Returns whether no call of the rollout is in flight."""
        with self.lock:
            return self.in_flight == 0

    def count(self, change: int) -> None:
        """Changes the number of calls in flight."""
        with self.lock:
            self.in_flight += change

    def amount(self, model: str, usage: Usage) -> Amount:
        """Returns the amount of this usage, with zero dollars if it has no price."""
        tokens = (usage.prompt or 0) + (usage.completion or 0)
        return Amount(self.dollars(model, usage) or Decimal(0), tokens)

    def dollars(self, model: str, usage: Usage) -> Decimal | None:
        """Returns the dollars of this usage by our price, else the provider's own figure."""
        ours = self.price(model, usage)
        return reported_cost(usage.raw) if ours is None else ours


@contextmanager
def account_of(experiment: int, budget: Budget, *, price: Price) -> Iterator[RolloutAccount]:
    """Provides the account of a rollout while it runs."""
    account = PURSE.open(experiment, budget)
    try:
        yield RolloutAccount(account, price)
    finally:
        PURSE.close_account(account)


class AccountedClient:
    """The client of one rollout. See `ModelClient`.

    When the experiment has reached its budget, calls in flight end, and then the rollout is given back.
    """

    def __init__(self, client: ModelClient, rollout: RolloutAccount) -> None:
        self._client = client
        self._rollout = rollout

    def complete(
        self,
        *,
        model: str,
        messages: Messages,
        tools: ToolSchemas = (),
        sampling: Mapping[str, Any],
        control: CancellationToken,
        watcher: Watcher | None = None,
    ) -> Completion:
        """See `ModelClient`."""
        call = Call(lambda: self._rollout.amount(model, estimator(model).estimate(messages, tools, sampling)))
        self._begin(call, control)
        cost, assumed = NOTHING, call.estimate
        try:
            completion = self._client.complete(
                model=model, messages=messages, tools=tools, sampling=sampling, control=control, watcher=watcher
            )
            cost, assumed = self._cost_of(model, completion.usage, call.estimate)
            return completion
        except (ModelFailure, CallAborted) as failure:
            if failure.cost is not None:
                cost, assumed = Amount(failure.cost), NOTHING
            raise
        finally:
            self._rollout.count(-1)
            PURSE.end(self._rollout.account, call, cost=cost, assumed=assumed)

    def _cost_of(self, model: str, usage: Usage, estimate: Amount) -> tuple[Amount, Amount]:
        """Returns the known part of a call's cost, and the amount assumed for the rest."""
        known = self._rollout.amount(model, usage)
        has_tokens = usage.prompt is not None and usage.completion is not None
        has_price = self._rollout.dollars(model, usage) is not None
        return known, Amount(
            Decimal(0) if has_price else estimate.dollars,
            0 if has_tokens else max(0, estimate.tokens - known.tokens),
        )

    def _begin(self, call: Call, control: CancellationToken) -> None:
        """Waits until the budget has room. Raises Stopped."""
        account = self._rollout.account
        PURSE.enter(account, call)
        with control.on_stop(call.woken.set):
            while not call.admitted and not control.reason:
                if not account.is_paused:
                    call.woken.wait()
                elif self._rollout.is_idle():
                    control.give_back()
                else:
                    call.woken.clear()
                    call.woken.wait(_LOOK)
        if control.reason:
            PURSE.leave(account, call)
            control.check()
        self._rollout.count(1)
