"""The table of experiments: the progress, the best arm and the cost of each, computed for one page at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from django.core.cache import cache
from django.db.models import Count, Max
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe

from rlm_runs.analysis import aggregates
from rlm_runs.engine.scaffolds import registry
from rlm_runs.models import Experiment, Rollout

from ..formatting import count, dollars
from ..pagination import Column as Order
from ..pagination import words
from ..tables import cells
from ..tables.columns import Column, Row, Table
from ..templatetags.dashboard import interval, notices, scaffold

_KEPT_SECONDS = 3600
_NONE_SCORED = mark_safe('<span class="unscored">none scored</span>')


def rows_of(experiments: Sequence[Experiment]) -> list[Row]:
    """Returns the rows of the table. One query if nothing changed since the last time, else six."""
    keys = {pk: f"experiment-row-{pk}-{state}" for pk, state in _states(experiments).items()}
    known = cache.get_many(keys.values())
    stale = [found for found in experiments if keys[found.pk] not in known]
    if stale:
        progress, best = aggregates.progress_by_experiment(stale), aggregates.best_arms(stale)
        fresh = {keys[found.pk]: (progress[found.pk], best.get(found.pk)) for found in stale}
        cache.set_many(fresh, timeout=_KEPT_SECONDS)
        known |= fresh
    rows = [(found, *known[keys[found.pk]]) for found in experiments]
    return [{"experiment": found, "progress": progress, "best": best} for found, progress, best in rows]


def _states(experiments: Sequence[Experiment]) -> dict[int, str]:
    """Returns a map of experiment → a hash that changes with every start and end of a rollout, read from
    an index.
    """
    parts: dict[int, list[object]] = {found.pk: [found.revision] for found in experiments}
    rollouts = Rollout.objects.filter(experiment__in=experiments).order_by("experiment", "status")
    counts = rollouts.values_list("experiment", "status").annotate(n=Count("*"), last=Max("finished_at"))
    for experiment, *state in counts:
        parts[experiment].append(state)
    return {pk: hashlib.sha256(repr(state).encode()).hexdigest()[:24] for pk, state in parts.items()}


def _name(row: Row) -> SafeString:
    experiment = row["experiment"]
    marks = notices(simulated=bool(experiment.simulated_arms), no_walls=bool(row["progress"].process_sandbox))
    tags = format_html_join(
        " ",
        '<a class="chip" href="?{}">{}</a>',
        ((urlencode({"tag": tag.name}), cells.text(tag.name, most=24)) for tag in experiment.tags.all()),
    )
    name = cells.text(experiment.name, most=36)
    return format_html('<a href="{}">{}</a> {}{}', experiment.get_absolute_url(), name, tags, marks)


def _rollouts(row: Row) -> SafeString:
    progress = row["progress"]
    return format_html('{}<span class="soft"> / {}</span>', count(progress.done), count(progress.total))


def _progress(row: Row) -> SafeString:
    experiment, progress = row["experiment"], row["progress"]
    bar = format_html(
        '<progress max="{}" value="{}"{} aria-label="{} % done"></progress>',
        *(progress.total or 1, progress.done),
        "" if progress.is_finished else mark_safe(' class="running"'),
        progress.percent,
    )
    said = []
    if experiment.cancelled_at:
        said.append(("cancelled", "cancelled"))
    elif not progress.is_finished:
        said.append(("running", f"{progress.percent} %"))
    if progress.failed:
        said.append(("failed", f"{progress.failed} failed"))
    if progress.too_long:
        said.append(("too-long", f"{progress.too_long} too long"))
    marks = [format_html(' <span class="status {}">{}</span>', kind, words) for kind, words in said]
    return format_html("{}" * (1 + len(marks)), bar, *marks)


def _best(row: Row) -> SafeString:
    best = row["best"]
    if best is None:
        return _NONE_SCORED
    return format_html(
        '{} {} <span class="sub">{}</span>',
        scaffold(best.arm.scaffold),
        interval(best.reward),
        cells.text(best.arm.environment, most=24),
    )


def _best_value(row: Row) -> str | None:
    best = row["best"]
    return f"{registry.title(best.arm.scaffold)} on {cells.plain(best.arm.environment)}" if best else None


def _cost(row: Row) -> SafeString:
    progress = row["progress"]
    if progress.unpriced and not progress.cost:
        return mark_safe('<span class="unscored">unpriced</span>')
    more = []
    if progress.unpriced:
        more.append(f"+ {count(progress.unpriced)} unpriced")
    if progress.judge_cost:
        more.append(f"+ {dollars(progress.judge_cost)} judging")
    marks = [format_html(' <span class="sub">{}</span>', words) for words in more]
    return format_html("{}" * (1 + len(marks)), dollars(progress.cost), *marks)


def _cost_value(row: Row) -> object:
    """Returns the cost in dollars; None if nothing has a price."""
    progress = row["progress"]
    return None if progress.unpriced and not progress.cost else progress.cost


def _launched(row: Row) -> str | SafeString:
    who = row["experiment"].created_by
    when = cells.moment(row["experiment"].created_at)
    return format_html('{} <span class="sub">{}</span>', when, who.get_username()) if who else when


def _owner(row: Row) -> str | None:
    owner = row["experiment"].created_by
    return owner.get_username() if owner else None


def _counted(key: str, *, help: str) -> Column:
    """Returns the column of the progress count with this name."""
    return Column(
        key,
        key,
        lambda row: getattr(row["progress"], key),
        lambda row: str(getattr(row["progress"], key)),
        help=help,
        is_number=True,
    )


EXPERIMENTS = Table(
    name="experiments",
    columns={
        column.key: column
        for column in (
            Column(
                "name",
                "name",
                lambda row: cells.plain(row["experiment"].name),
                _name,
                help="name, and the way to its page",
                order=Order("name", words),
            ),
            Column(
                "slug",
                "address",
                lambda row: row["experiment"].slug,
                lambda row: row["experiment"].slug,
                help="as in its address, and as experiment: asks for it",
            ),
            _counted("arms", help="environments × scaffolds × models × settings"),
            Column(
                "rollouts",
                "rollouts",
                lambda row: row["progress"].total,
                _rollouts,
                help="that ended, and all",
                is_number=True,
            ),
            Column("done", "progress", lambda row: row["progress"].done, _progress, help="how far it is"),
            _counted("failed", help="rollouts that failed, those with a prompt that was too long apart"),
            Column(
                "best",
                "best arm, mean reward",
                _best_value,
                _best,
                help="the arm with the highest mean reward, over the rollouts that have one",
            ),
            Column(
                "reward",
                "its mean reward",
                lambda row: row["best"].reward.mean if row["best"] else None,
                lambda row: interval(row["best"].reward if row["best"] else None),
                help="mean reward of the best arm",
                is_number=True,
            ),
            Column(
                "cost",
                "cost",
                _cost_value,
                _cost,
                unit="$",
                help="of all attempts, as far as it has a price; judging is told apart",
                is_number=True,
            ),
            Column(
                "tags",
                "tags",
                lambda row: ", ".join(cells.plain(tag.name) for tag in row["experiment"].tags.all()),
                lambda row: cells.text(", ".join(tag.name for tag in row["experiment"].tags.all())),
                help="tags",
            ),
            Column(
                "owner",
                "owner",
                lambda row: _owner(row),
                lambda row: _owner(row) or "–",
                help="who launched it, or took it over",
            ),
            Column(
                "description",
                "description",
                lambda row: cells.plain(row["experiment"].description),
                lambda row: cells.text(row["experiment"].description, most=60),
                help="its question",
            ),
            Column(
                "launched",
                "launched",
                lambda row: row["experiment"].created_at.isoformat(),
                _launched,
                help="when, and by whom",
                order=Order("pk"),
            ),
        )
    },
    shown=("name", "arms", "rollouts", "done", "best", "cost", "launched"),
    sort="-launched",
    has_filters=False,
)
