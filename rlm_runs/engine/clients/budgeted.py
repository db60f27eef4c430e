"""A client that reserves the estimate of each call in the rollout's budget while the call is in flight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from ..budget import Budget
from ..cancellation import CancellationToken
from ..errors import CallAborted, ModelFailure
from ..events import Usage
from ..reported_cost import reported_cost
from .base import Completion, Messages, ModelClient, ToolSchemas, Watcher
from .token_estimates import estimator


class BudgetedClient:
    """A client under a rollout's budget. See `ModelClient`.

    A call whose usage is unknown counts at its estimate, because unknown is not zero.
    """

    def __init__(
        self, client: ModelClient, budget: Budget, *, dollars: Callable[[str, Usage], Decimal | None]
    ) -> None:
        self._client = client
        self._budget = budget
        self._dollars = dollars

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
        expected = estimator(model).estimate(messages, tools, sampling)
        dollars = self._dollars(model, expected) or Decimal(0)
        with self._budget.reserved(expected, dollars):
            try:
                completion = self._client.complete(
                    model=model,
                    messages=messages,
                    tools=tools,
                    sampling=sampling,
                    control=control,
                    watcher=watcher,
                )
            except (ModelFailure, CallAborted) as failure:
                if failure.cost is None:
                    self._budget.charge(expected, dollars)
                raise
        usage = completion.usage
        is_priced = self._dollars(model, usage) is not None or reported_cost(usage.raw) is not None
        missing = Usage(
            prompt=expected.prompt if usage.prompt is None else None,
            completion=expected.completion if usage.completion is None else None,
        )
        self._budget.charge(missing, None if is_priced else dollars)
        return completion
