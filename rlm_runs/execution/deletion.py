"""Deletes experiments: they disappear from all pages at once, and workers remove their rows in small batches.

The mark on the experiment is the whole state, so a deletion continues where a dead worker left it. Texts are
shared by content: each text of a removed row is listed, and removed if no row of the store needs it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import Error, connection, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from ..models import (
    Attempt,
    DroppedText,
    Example,
    Execution,
    Experiment,
    Rollout,
    SharedLink,
    Text,
    Trajectory,
    Turn,
)
from ..models.texts import TEXTS_LOCK
from . import control
from .experiment_log import COMMAND_LINE, record_action

logger = logging.getLogger(__name__)

_ROLLOUTS = 20
"""Rollouts per batch. Their traces are a few thousand rows."""
_TEXTS = 500
"""Texts per batch."""
_LOCK_PATIENCE = "500ms"
"""Time for which a batch waits for writers of texts, while new writers wait behind it."""
_LOCK = 0x524C4D03
"""Number of the deleting worker's advisory lock, unique in this database."""
_SAMPLE = 300
"""The number of rollouts whose texts are measured to estimate the bytes."""

REFERRING: dict[type[models.Model], str] = {
    Rollout: "pk",
    Attempt: "rollout",
    Trajectory: "rollout",
    Turn: "trajectory__rollout",
    Execution: "turn__trajectory__rollout",
}
"""Tables that refer to texts → their path to the rollout. Examples are not included, because they are shared."""


@dataclass(frozen=True)
class Contents:
    """The rows that a deletion removes. `bytes` is an estimate; texts that other experiments use stay."""

    rollouts: int
    turns: int
    bytes: int
    shared_links: int


def contents(experiment: Experiment) -> Contents:
    """Returns the counts of what a deletion removes, with the bytes estimated from a sample of rollouts."""
    rollouts = experiment.rollouts()
    total = rollouts.count()
    sample = list(rollouts.order_by("?" if total > _SAMPLE else "pk").values_list("pk", flat=True)[:_SAMPLE])
    bytes_of_sample = _bytes_of(sample)
    return Contents(
        rollouts=total,
        turns=Turn.objects.filter(trajectory__rollout__experiment=experiment).count(),
        bytes=bytes_of_sample * total // len(sample) if sample else 0,
        shared_links=SharedLink.objects.filter(
            Q(experiment=experiment) | Q(rollout__experiment=experiment)
        ).count(),
    )


def delete(experiment: Experiment, *, actor: str = COMMAND_LINE) -> None:
    """Marks an experiment and its forks as deleted. They disappear from all pages, their unfinished rollouts end,
    and workers remove their rows.
    """
    with transaction.atomic():
        marks = {"deleted_at": Now(), "cancelled_at": Coalesce("cancelled_at", Now())}
        if Experiment.objects.filter(pk=experiment.pk).update(**marks):
            Experiment.everything.filter(forks_of=experiment).update(**marks)
            for each in (experiment, *Experiment.everything.filter(forks_of=experiment)):
                control.end_unfinished(each)
            record_action(experiment, action="deleted", actor=actor)


def remove_until(done: threading.Event) -> None:
    """Removes deleted experiments until `done` is set. It works half of the time, so that pages stay fast."""
    while not done.is_set():
        began = time.monotonic()
        try:
            worked = remove_some()
        except Error as error:
            worked = False
            logger.warning("the deletion waits: %s", error)
        finally:
            connection.close()
        done.wait(time.monotonic() - began if worked else settings.RLM_SWEEP_SECONDS)


def remove_all() -> None:
    """Removes deleted experiments now, in this process. It also returns if rollouts that run elsewhere must end
    first.
    """
    while remove_some():
        pass


def remove_some() -> bool:
    """Removes one batch, unless another worker is deleting. Returns whether there may be more."""
    with transaction.atomic():
        if not _may_work():
            return False
        deleted = Experiment.everything.filter(deleted_at__isnull=False)
        experiment = deleted.order_by(F("forks_of").asc(nulls_last=True), "deleted_at").first()  # forks first
        if experiment is not None and _remove_batch(experiment):
            return True
        return _remove_texts()


def _may_work() -> bool:
    """Takes the lock until the transaction ends. Returns False if nothing is due or another worker has the
    lock.
    """
    is_due = Experiment.everything.filter(deleted_at__isnull=False).exists() or DroppedText.objects.exists()
    if not is_due:
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _remove_batch(experiment: Experiment) -> bool:
    """Removes some rollouts, and the experiment with the last one. Returns False if only running rollouts are
    left.
    """
    ended = experiment.rollouts().exclude(status=Rollout.Status.RUNNING).order_by("pk")
    found = list(ended.values_list("pk", "example")[:_ROLLOUTS])
    if found:
        rollouts = [pk for pk, _ in found]
        _drop_texts(_texts_of(rollouts))
        Rollout.objects.filter(pk__in=rollouts).delete()
        _remove_examples([example for _, example in found])
        return True
    if experiment.rollouts().exists():
        return False
    experiment.delete()
    logger.info("experiment %s (%s) is deleted", experiment.pk, experiment.slug)
    return True


def _texts_of(rollouts: Sequence[int]) -> Iterator[str]:
    """Yields the digests of all texts that these rollouts refer to, possibly repeated."""
    for model, path in REFERRING.items():
        names = [field.attname for field in _text_fields(model)]
        for row in model._default_manager.filter(**{f"{path}__in": rollouts}).values_list(*names):
            yield from filter(None, row)
    called = Turn.objects.filter(trajectory__rollout__in=rollouts, tool_calls__isnull=False)
    for calls in called.values_list("tool_calls", flat=True):
        yield from (call["arguments"] for call in calls or () if call.get("arguments"))
    for opening in Trajectory.objects.filter(rollout__in=rollouts).values_list("opening", flat=True):
        yield from (message["text"] for message in opening if message.get("text"))
    called = Turn.objects.filter(trajectory__rollout__in=rollouts, tool_calls__isnull=False)
    for calls in called.values_list("tool_calls", flat=True):
        yield from (call["arguments"] for call in calls or ())


def _text_fields(model: type[models.Model]) -> list[models.ForeignKey[Text]]:
    return [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, models.ForeignKey) and field.related_model is Text
    ]


def _drop_texts(digests: Iterable[str]) -> None:
    rows = (DroppedText(digest=digest) for digest in sorted(set(digests)))
    DroppedText.objects.bulk_create(rows, ignore_conflicts=True, batch_size=5000)


def _remove_examples(examples: Sequence[int]) -> None:
    """Removes the examples without a rollout, under the lock that keeps launches from starting to use them."""
    unused = Example.objects.filter(pk__in=examples, rollouts=None)
    if not unused.exists():
        return
    _lock_texts()
    names = [field.attname for field in _text_fields(Example)]
    _drop_texts(digest for row in unused.values_list(*names) for digest in row if digest)
    Example.objects.filter(pk__in=list(unused.values_list("pk", flat=True))).delete()


def _remove_texts() -> bool:
    """Removes some texts that no row needs. Returns whether there were any to check."""
    digests = list(DroppedText.objects.order_by("digest").values_list("digest", flat=True)[:_TEXTS])
    if not digests:
        return False
    _lock_texts()
    needed: set[str] = set()
    referring: list[type[models.Model]] = [*REFERRING, Example]
    for model in referring:
        for field in _text_fields(model):
            needed |= _in_column(model._meta.db_table, field.column, digests)
    needed |= _in_openings(digests)
    Text.objects.filter(pk__in=[digest for digest in digests if digest not in needed])._raw_delete(using="default")
    DroppedText.objects.filter(digest__in=digests).delete()
    return True


def _in_column(table: str, column: str, digests: Sequence[str]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT d FROM unnest(%s::text[]) AS d
                 WHERE EXISTS (SELECT FROM "{table}" WHERE "{column}" = decode(d, 'hex'))""",
            [list(digests)],
        )
        return {row[0] for row in cursor.fetchall()}


def _in_openings(digests: Sequence[str]) -> set[str]:
    """Returns the digests of texts that open a conversation. Two indexes hold them, one for system messages."""
    found: set[str] = set()
    with connection.cursor() as cursor:
        for is_system in ("==", "!="):
            texts = f"""jsonb_path_query_array(opening, '$[*] ? (@.role {is_system} "system").text')"""
            cursor.execute(
                f"SELECT DISTINCT d FROM unnest(%s::text[]) AS d"
                f" WHERE EXISTS (SELECT FROM rlm_runs_trajectory WHERE {texts} ? d)",
                [list(digests)],
            )
            found.update(row[0] for row in cursor.fetchall())
    return found


def _lock_texts() -> None:
    """Blocks writers of texts until the transaction ends, because they do not see that a text is about to be
    removed.

    Raises OperationalError if the lock is not available soon; the batch is retried later.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_PATIENCE}'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [TEXTS_LOCK])


def _bytes_of(rollouts: Sequence[int]) -> int:
    """Returns the bytes of the texts of these rollouts, each text counted once."""
    digests = sorted(set(_texts_of(rollouts)))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(octet_length(body)), 0) FROM rlm_runs_text"
            " WHERE sha256 IN (SELECT decode(d, 'hex') FROM unnest(%s::text[]) AS d)",
            [digests],
        )
        return int(cursor.fetchone()[0])
