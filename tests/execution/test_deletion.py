"""A deleted experiment leaves all lists immediately; workers remove its rows and unused texts."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, models, transaction

from rlm_runs.analysis import aggregates
from rlm_runs.execution import deletion, queue
from rlm_runs.execution.retry import retry
from rlm_runs.execution.selection import Selection
from rlm_runs.models import (
    Arm,
    Attempt,
    DroppedText,
    Example,
    Execution,
    Experiment,
    ExperimentAction,
    Rollout,
    Text,
    Trajectory,
    Turn,
)
from rlm_runs.models.texts import TEXTS_LOCK, digest
from tests.factories.traces import make_experiment, play_all, play_llm

TABLES = (Arm, Attempt, DroppedText, Example, Execution, Experiment, ExperimentAction, Rollout, Trajectory, Turn)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    aggregates.forget()
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)


@pytest.fixture
def lab(db):
    experiment = make_experiment(environments=("oolong",))
    play_all(experiment)
    return experiment


def finish(experiment):
    """Finishes the running rollouts, as a worker would."""
    experiment.rollouts().filter(status="running").update(status="cancelled", stop_reason="cancelled")


def test_it_says_first_what_it_removes(lab):
    found = deletion.contents(lab)
    assert found.rollouts == lab.rollouts().count()
    assert found.turns == Turn.objects.count()
    stored = sum(len(text.body.encode()) for text in Text.objects.all())
    assert 0 < found.bytes <= stored


def test_it_is_gone_at_once(lab):
    deletion.delete(lab, actor="ada")
    assert not Experiment.objects.exists()
    assert Experiment.everything.get().cancelled_at is not None
    assert not Rollout.objects.listed().exists()
    assert queue.claim(9) == []
    assert ExperimentAction.objects.first().action == "deleted"


def test_nothing_of_it_stays(lab):
    Experiment.objects.filter(pk=lab.pk).update(sources=[])
    retry(lab, Selection())
    deletion.delete(lab)
    finish(lab)
    deletion.remove_all()
    assert {table.__name__: table._base_manager.count() for table in TABLES} == dict.fromkeys(
        (table.__name__ for table in TABLES), 0
    )
    assert not Text.objects.exists()


def test_what_other_experiments_use_stays(lab):
    other = make_experiment(environments=("oolong",), scaffolds=("llm",))  # the same examples
    for rollout in other.rollouts():
        play_llm(rollout)
    deletion.delete(lab)
    finish(lab)
    deletion.remove_all()
    assert set(Example.objects.values_list("pk", flat=True)) == set(
        other.rollouts().values_list("example", flat=True)
    )
    kept = {message["text"] for each in Trajectory.objects.all() for message in each.opening}
    kept |= {turn.content_id for turn in Turn.objects.all()}
    for example in Example.objects.all():
        kept |= {example.prompt_id, example.answer_id, example.input_data_id}
    assert {text.pk for text in Text.objects.all()} == kept
    assert digest("the quick brown fox 0") in kept  # an answer of both


def test_a_running_rollout_is_waited_for(lab):
    running = lab.rollouts().first()
    lab.rollouts().filter(pk=running.pk).update(status="running")
    deletion.delete(lab)
    deletion.remove_all()
    left = Rollout.objects.values_list("status", flat=True)
    assert set(left) == {"running"}
    assert Experiment.everything.filter(pk=lab.pk).exists()
    finish(lab)
    deletion.remove_all()
    assert not Experiment.everything.exists()


def test_it_goes_on_where_a_dead_worker_left_it(lab, monkeypatch):
    monkeypatch.setattr(deletion, "_ROLLOUTS", 2)
    deletion.delete(lab)
    finish(lab)
    before = Rollout.objects.count()
    assert deletion.remove_some()
    assert Rollout.objects.count() == before - 2

    def dies(*_):
        raise RuntimeError("the worker died here")

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "_remove_examples", dies)
        with pytest.raises(RuntimeError):
            deletion.remove_some()
    assert Rollout.objects.count() == before - 2  # its batch is undone
    deletion.remove_all()
    assert not Experiment.everything.exists()
    assert not Text.objects.exists()


def test_every_table_that_refers_to_texts_is_known():
    """Else texts of a new table would be removed under it, or stay for ever."""
    referring = {
        field.related_model
        for field in Text._meta.get_fields(include_hidden=True)
        if isinstance(field, models.ManyToOneRel)
    }
    assert referring == {*deletion.REFERRING, Example}


@pytest.mark.django_db(transaction=True)
def test_a_writer_of_a_text_keeps_it_from_being_removed():
    """A text is about to be removed while a transaction stores it again and does not see that."""
    [key] = Text.objects.keep(["shared"])
    DroppedText.objects.create(digest=key)
    locked, done = threading.Event(), threading.Event()

    def write():
        with transaction.atomic():
            Text.objects.keep(["shared"])
            locked.set()
            done.wait(10)
            Example.objects.create(environment="e", content_hash=key, prompt_id=key, answer_id=key)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    locked.wait(10)
    with pytest.raises(Exception, match="lock timeout"):
        deletion.remove_some()
    done.set()
    writer.join()
    deletion.remove_all()
    assert Text.objects.filter(pk=key).exists()
    assert not DroppedText.objects.exists()


def test_the_locks_of_the_store_differ():
    from rlm_runs.execution import sweep
    from rlm_runs.experiments import importer

    locks = [TEXTS_LOCK, deletion._LOCK, sweep._LOCK, importer._LOCK]
    assert len(set(locks)) == len(locks)
