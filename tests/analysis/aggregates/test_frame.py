"""Rollouts as columns equal the rows, in one query."""

import numpy as np
import pytest

from rlm_runs.analysis.aggregates.frame import Outcome, example_values, load
from rlm_runs.analysis.aggregates.measures import MEASURES, measure
from rlm_runs.models import Rollout

pytestmark = pytest.mark.django_db


def _arms(experiment):
    return list(experiment.arms.values_list("pk", flat=True))


def test_columns_are_those_of_the_rows(played, django_assert_num_queries):
    names = ["reward", "main_tokens", "cost", "seconds"]
    arms = _arms(played)
    with django_assert_num_queries(1):
        frame = load(arms, measures=[MEASURES[name] for name in names])
    rows = {row.pk: row for row in Rollout.objects.filter(experiment=played)}
    assert set(frame["rollout"].tolist()) == set(rows)
    for index, pk in enumerate(frame["rollout"].tolist()):
        row = rows[pk]
        assert (frame["arm"][index], frame["example"][index]) == (row.arm_id, row.example_id)
        for name in names:
            value = getattr(row, name)
            assert np.isnan(frame[name][index]) if value is None else frame[name][index] == float(value)


def test_outcomes_tell_apart_why_there_is_no_reward(played):
    frame = load(_arms(played), measures=[MEASURES["reward"]])
    assert np.array_equal(frame["outcome"] == Outcome.SCORED, ~np.isnan(frame["reward"]))
    too_long = Rollout.objects.filter(experiment=played, stop_reason="prompt_too_long").count()
    assert too_long
    assert int((frame["outcome"] == Outcome.TOO_LONG).sum()) == too_long


def test_nothing_is_an_empty_frame():
    assert len(load([], measures=[MEASURES["reward"]])) == 0


def test_a_metric_is_a_measure_and_what_is_no_number_is_not_known(played):
    rollout = Rollout.objects.filter(experiment=played, reward__isnull=False).first()
    Rollout.objects.filter(pk=rollout.pk).update(metrics={"it's": 0.25, "word": "x"})
    named = [measure("metric.it's"), measure("metric.word")]
    frame = load([rollout.arm_id], measures=named)
    at = frame["rollout"].tolist().index(rollout.pk)
    assert frame["metric.it's"][at] == 0.25
    assert np.isnan(frame["metric.word"]).all()


def test_values_of_examples(played):
    row = Rollout.objects.filter(experiment=played).select_related("example").first().example
    row.metadata = {"context_length": 1234}
    row.save()
    others = Rollout.objects.filter(experiment=played).values_list("example", flat=True)
    assert example_values(others, "context_length") == {row.pk: 1234}
