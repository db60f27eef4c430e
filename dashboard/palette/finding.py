"""The search of the palette: pages and actions, experiments, arms, figures, and rollouts by number.

Each word must occur in an entry. The queries read small tables by index or a few thousand short rows; none reads a
rollout except by its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.utils.http import urlencode

from rlm_runs.engine.scaffolds import registry
from rlm_runs.models import Arm, Experiment, Rollout

from ..addresses import address_of
from ..charts import FIGURES
from ..formatting import ago
from ..navigation import entries
from ..tables import cells

SHOWN = 6
_NUMBER = re.compile(r"#?(\d{1,18})")


@dataclass(frozen=True)
class Entry:
    """A line of the palette: a URL to open, or an action of the page itself. `hint` is shown beside it."""

    label: str
    icon: str
    address: str = ""
    action: str = ""
    hint: str = ""
    keys: str = ""


@dataclass(frozen=True)
class Group:
    """Entries of one kind."""

    title: str
    entries: Sequence[Entry]


def find(typed: str, *, at: str) -> list[Group]:
    """Returns the groups with entries. Without words: the current experiment, the newest ones, pages and
    actions.
    """
    words = typed.casefold().split()
    here = _experiment_at(at)
    groups = (
        Group("Rollout", list(_rollout(typed))),
        Group("Here", list(_fitting(_current_experiment(here, at), words))),
        Group("Experiments", list(_experiments(words))),
        Group("Figures", list(_figures(words, here))),
        Group("Arms", list(_arms(words))),
        Group("Pages", list(_fitting(_pages(), words))),
        Group("Actions", list(_fitting(_actions(), words))),
    )
    return [group for group in groups if group.entries]


def _fitting(found: Iterable[Entry], words: Sequence[str]) -> Iterator[Entry]:
    return (entry for entry in found if _fits(f"{entry.label} {entry.hint}", words))


def _fits(text: str, words: Sequence[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _experiment_at(path: str) -> Experiment | None:
    """Returns the experiment of the page on which the palette was opened, or that of its rollout; None without
    one.
    """
    try:
        parts = resolve(path).kwargs
    except Resolver404:
        return None
    experiments = Experiment.objects.only("pk", "slug", "name", "created_at")
    if slug := parts.get("slug"):
        return experiments.filter(slug=slug).first()
    if (number := _rollout_number(path)) is not None:
        return experiments.filter(pk__in=Rollout.objects.filter(pk=number).values("experiment")).first()
    return None


def _rollout_number(path: str) -> int | None:
    found = re.match(r"/rollouts/(\d{1,18})/", path)
    return int(found[1]) if found else None


def _rollout(typed: str) -> Iterator[Entry]:
    """Yields the rollout with this number."""
    number = _NUMBER.fullmatch(typed.strip().casefold().removeprefix("rollout").strip())
    if number is None:
        return
    found = Rollout.objects.filter(pk=int(number[1])).select_related("arm", "experiment").defer(
        "experiment__spec", "experiment__sources", "metrics"
    )  # fmt: skip
    for rollout in found.filter(experiment__deleted_at=None):
        arm = rollout.arm
        parts = (arm.environment, registry.title(arm.scaffold), rollout.experiment.name)
        hint = " · ".join(map(cells.plain, parts))
        yield Entry(f"Rollout {rollout.pk}", "route", rollout.get_absolute_url(), hint=hint)


def _current_experiment(experiment: Experiment | None, path: str) -> Iterator[Entry]:
    """Yields the sections and actions of the current experiment, and those of its current rollout."""
    if experiment is None:
        return
    slug, name = experiment.slug, cells.plain(experiment.name)
    views = (
        ("experiment", "Overview", "flask-conical"),
        ("figures", "Figures", "chart-column"),
        ("experiment-arms", "Arms", "layers"),
        ("behaviour", "Behaviour", "layers"),
        ("experiment-rollouts", "Rollouts", "route"),
        ("experiment-settings", "Settings", "settings-2"),
        ("experiment-log", "Log", "file-text"),
        ("example-types", "By example type", "layers"),
        ("experiment-control", "Control", "settings-2"),
    )
    for view, label, icon in views:
        if address := address_of(view, slug):
            yield Entry(label, icon, address, hint=name)
    if launch := address_of("launch"):
        yield Entry("Duplicate", "copy", f"{launch}?{urlencode({'clone': slug})}", hint=name)
    if (number := _rollout_number(path)) is not None:
        for part in ("timeline", "flame", "context", "answer", "variables", "input", "diagnosis"):
            if address := address_of(f"rollout-{part}", number):
                yield Entry(part.capitalize(), "route", address, hint=f"rollout {number}")


def _experiments(words: Sequence[str]) -> Iterator[Entry]:
    """Yields experiments whose name or slug has each word. Those that start with the first word come first."""
    found = Experiment.objects.listed().only("pk", "slug", "name", "created_at").filter(_with_words(words))
    if words:
        begins = When(Q(name__istartswith=words[0]) | Q(slug__istartswith=words[0]), then=Value(0))
        rank = Case(begins, default=Value(1), output_field=IntegerField())
        found = found.order_by(rank, "-created_at", "-pk")
    else:
        found = found.order_by("-created_at", "-pk")
    for each in found[:SHOWN]:
        yield Entry(
            cells.plain(each.name), "flask-conical", each.get_absolute_url(), hint=_ago_of(each.created_at)
        )


def _ago_of(moment: datetime) -> str:
    """Returns the time since a moment."""
    return ago((timezone.now() - moment).total_seconds())


def _with_words(words: Sequence[str]) -> Q:
    return reduce(and_, (Q(name__icontains=word) | Q(slug__icontains=word) for word in words), Q())


def _figures(words: Sequence[str], here: Experiment | None) -> Iterator[Entry]:
    """Yields figures by name, of the current experiment or of those that match the other words."""
    if not words or not address_of("figure", "x", "reward"):
        return
    for spec in FIGURES.values():
        rest = [word for word in words if not _fits(f"{spec.label} {spec.name} figure", [word])]
        if len(rest) == len(words):
            continue
        for experiment in _with_figures(rest, here):
            hint = cells.plain(experiment.name)
            yield Entry(spec.label, "chart-column", address_of("figure", experiment.slug, spec.name), hint=hint)


def _with_figures(words: Sequence[str], here: Experiment | None) -> Iterable[Experiment]:
    if here is not None and _fits(f"{here.name} {here.slug}", words):
        return [here]
    newest = Experiment.objects.listed().only("pk", "slug", "name").order_by("-created_at", "-pk")
    return newest.filter(_with_words(words))[: 1 if not words else 3]


def _arms(words: Sequence[str]) -> Iterator[Entry]:
    """Yields arms whose environment, scaffold, model or experiment have each word, the newest experiments
    first.
    """
    address = address_of("rollouts")
    if not words or not address:
        return
    for arm in _found_arms(words)[:SHOWN]:
        label = " · ".join(map(cells.plain, (arm.environment, registry.title(arm.scaffold), arm.model)))
        query = urlencode({"q": f"arm:{arm.pk}"})
        rollouts = address_of("experiment-rollouts", arm.experiment.slug)
        yield Entry(label, "layers", f"{rollouts}?{query}", hint=cells.plain(arm.experiment.name))


def _found_arms(words: Sequence[str]) -> QuerySet[Arm]:
    found = Arm.objects.filter(experiment__archived_at=None, experiment__deleted_at=None)
    for word in words:
        scaffolds = [key for key in registry.REGISTRY if word in registry.title(key).casefold()]
        of_arm = Q(environment__icontains=word) | Q(model__icontains=word) | Q(scaffold__icontains=word)
        found = found.filter(of_arm | Q(scaffold__in=scaffolds) | Q(experiment__name__icontains=word))
    columns = ("environment", "scaffold", "model", "experiment__slug", "experiment__name")
    return found.select_related("experiment").only(*columns).order_by("-experiment_id", "position")


def _pages() -> Iterator[Entry]:
    return (Entry(page.label, page.icon, page.address, keys=f"g {page.key}") for page in entries())


def _actions() -> Iterator[Entry]:
    if launch := address_of("launch"):
        yield Entry("Launch experiment", "rocket", launch)
    if rollouts := address_of("rollouts"):
        yield Entry("Failed rollouts", "circle-alert", f"{rollouts}?{urlencode({'q': 'outcome:failed'})}")
        yield Entry("Running rollouts", "circle-play", f"{rollouts}?{urlencode({'q': 'status:running'})}")
    if address_of("share"):
        yield Entry("Share this page", "share-2", action="share")
    yield Entry("Switch theme", "sun-moon", action="theme", hint="light or dark")
    yield Entry("Show keys", "keyboard", action="keys", keys="?")
    yield Entry("Collapse navigation", "panel-left", action="collapse", keys="[")
    yield Entry("Log out", "log-out", action="logout")
