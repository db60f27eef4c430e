"""Early stopping: the time of one check, and the number of examples that it saves.

    python -m bench.early_stopping [--json] [--quick]

The first figure checks 20 arms on 1,000 examples: 19 comparisons with a margin, decided after each example.
Its reference is `compare_to`, which makes the same comparisons once, for a fixed number of examples. The other
figures are the mean number of examples until a comparison is decided, of 200 planned. Their references are the
planned number and Hoeffding's confidence sequence. Effects are those of 0/1 rewards; arms differ on 40 % of the
examples.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlm_runs.settings")

import django

django.setup()

from bench.report import Figure, show  # noqa: E402
from rlm_runs.analysis.aggregates.frame import Frame, Outcome  # noqa: E402
from rlm_runs.analysis.early_stopping import EarlyStopping, standing  # noqa: E402
from rlm_runs.analysis.statistics import Table, compare_to, first_finding  # noqa: E402
from rlm_runs.models import Arm  # noqa: E402

Floats = NDArray[np.float64]
ARMS, EXAMPLES, PLANNED, ALPHA = 20, 1_000, 200, 0.05


def experiment() -> tuple[Frame, list[Arm]]:
    """Returns twenty arms of one environment on a thousand examples, all equally good, so that nothing is decided
    soon.
    """
    draw = np.random.default_rng(1)
    arms = [
        Arm(
            pk=at + 1, position=at, environment="oolong", scaffold="rlm" if at else "llm", model="m", sub_model="m"
        )
        for at in range(ARMS)
    ]
    places = np.tile(np.arange(EXAMPLES), ARMS)
    frame = Frame(
        {
            "rollout": np.arange(ARMS * EXAMPLES),
            "arm": np.repeat(np.arange(1, ARMS + 1), EXAMPLES),
            "example": places,
            "position": places,
            "repetition": np.zeros_like(places),
            "outcome": np.full_like(places, Outcome.SCORED),
            "reward": draw.beta(0.4, 0.6, ARMS * EXAMPLES),
        }
    )
    return frame, arms


def compare_once(frame: Frame) -> None:
    """Computes the tests and intervals for a fixed number of examples."""
    compare_to(Table.of(frame["reward"], examples=frame["example"], arms=frame["arm"]), baseline=0)


def milliseconds(work: Callable[[], object], *, rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def paths(effect: float, *, trials: int) -> Floats:
    """Returns differences of 0/1 rewards: [trials, planned examples]."""
    up, down = 0.2 + effect / 2, 0.2 - effect / 2
    draw = np.random.default_rng(2)
    return draw.choice([-1.0, 0.0, 1.0], size=(trials, PLANNED), p=[down, 0.6, up])


def examples_needed(differences: Floats, *, level: float) -> float:
    """Returns the mean number of examples until the comparison is decided; PLANNED if it is not."""
    found = [first_finding(path, level=level) for path in differences]
    return float(np.mean([PLANNED if each is None else each[0] for each in found]))


def hoeffding_needed(differences: Floats, *, level: float) -> float:
    """Returns the same with a predictable-mixture Hoeffding sequence."""
    n = np.arange(1, PLANNED + 1)
    bets = np.minimum(np.sqrt(8 * np.log(2 / level) / (n * np.log(1 + n))), 1)
    logs = np.abs(np.cumsum(bets * differences / 2, axis=1)) - np.cumsum(bets**2) / 8 - np.log(2)
    hits = logs >= -np.log(level)
    return float(np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, PLANNED).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object per figure")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and trials")
    options = parser.parse_args()
    rounds, trials = (3, 200) if options.quick else (15, 2_000)
    frame, arms = experiment()
    settings = EarlyStopping(margin=0.05)
    page = milliseconds(lambda: standing(frame, arms, settings), rounds=rounds)
    look = milliseconds(lambda: standing(frame, arms, settings, with_open=False), rounds=rounds)
    once = milliseconds(lambda: compare_once(frame), rounds=rounds)
    show(Figure("a look, 20 arms × 1,000 examples", look, "ms", "compare_to, once", once), as_json=options.json)
    show(Figure("the page's intervals as well", page, "ms", "a look", look), as_json=options.json)
    for effect in (0.2, 0.4, 0.0):
        drawn = paths(effect, trials=trials)
        for comparisons in (1, 6):
            level = ALPHA / comparisons
            name = f"examples, effect {effect:g}, {comparisons} comparison{'s' if comparisons > 1 else ''}"
            needed = examples_needed(drawn, level=level)
            show(Figure(name, needed, "examples", "fixed n", PLANNED), as_json=options.json)
            bound = hoeffding_needed(drawn, level=level)
            show(Figure(name, needed, "examples", "Hoeffding", bound), as_json=options.json)


if __name__ == "__main__":
    main()
