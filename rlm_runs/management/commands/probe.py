"""`manage.py probe MODEL` makes three tiny calls that show what a model's server supports.

manage.py probe gpt-5-mini
manage.py probe Qwen/Qwen3-32B --window
"""

from __future__ import annotations

import textwrap
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.events import Usage
from rlm_runs.engine.probe import Unreachable, find_window, tokens_of_search
from rlm_runs.execution import probe_queue
from rlm_runs.execution.endpoints import ModelChoice, find_model, model_choices
from rlm_runs.execution.prices import listed_window, prices
from rlm_runs.execution.probe_client import probe_client
from rlm_runs.models import ModelProbe
from rlm_runs.models.texts import unescape


class Command(BaseCommand):
    help = "Probes a model with three tiny calls, and keeps the result for the Models page."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="as the endpoints file names it")
        parser.add_argument("--window", action="store_true", help="find the real window by bisection, too")
        parser.add_argument("--yes", action="store_true", help="do not ask what the search may cost")

    def handle(self, *, model: str, window: bool, yes: bool, **_: Any) -> None:
        choice = find_model(model)
        if choice is None:
            raise CommandError(f"there is no model {model!r}; there are: {', '.join(sorted(_names()))}")
        found = ModelProbe.objects.create(
            model=choice.name, endpoint=choice.endpoint.name, started_at=timezone.now()
        )
        probe_queue.run(found, control=CancellationToken())
        if found.error:
            raise CommandError(f"{model} cannot be reached: {unescape(found.error)}")
        for finding in found.findings:
            self._tell(f"{finding['name']}: {finding['verdict']}", unescape(finding["detail"]))
        if window and (yes or self._agreed(choice)):
            self._search(choice, found)

    def _search(self, choice: ModelChoice, found: ModelProbe) -> None:
        try:
            with probe_client(choice) as client:
                found.window = find_window(
                    client,
                    choice.name,
                    guess=_guess(choice),
                    control=CancellationToken(),
                    tell=lambda line: self.stdout.write(f"  {line}"),
                )
        except Unreachable as problem:
            raise CommandError(f"the search for the window ended: {problem}") from problem
        found.save(update_fields=["window"])
        said = "larger than was searched" if found.window is None else f"{found.window:,} tokens, within 2 %"
        self._tell("window", said)

    def _agreed(self, choice: ModelChoice) -> bool:
        tokens = tokens_of_search(_guess(choice))
        dollars = prices().dollars(choice.name, Usage(prompt=tokens, completion=0))
        cost = "of unknown cost" if dollars is None else f"up to ${dollars:.2f}"
        answer = input(f"The search may take up to {tokens:,} prompt tokens, {cost}. Continue? [y/N] ")
        return answer.strip().lower() in ("y", "yes")

    def _tell(self, head: str, detail: str) -> None:
        self.stdout.write(f"{head:<22} {textwrap.shorten(detail, 400)}")


def _names() -> list[str]:
    return [choice.name for choice in model_choices()]


def _guess(choice: ModelChoice) -> int:
    return choice.window or listed_window(choice, at=timezone.now()) or 8192
