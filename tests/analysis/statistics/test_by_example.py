"""Values by arm and example."""

import numpy as np
import pytest

from rlm_runs.analysis.statistics import Table

TABLE = Table.of(
    [1.0, 0.0, 0.5, 1.0, 1.0],
    arms=[7, 7, 7, 3, 3],
    examples=[20, 20, 10, 10, 30],
)


def test_repetitions_are_gathered_by_arm_and_example():
    assert TABLE.arms.tolist() == [3, 7]
    assert TABLE.examples.tolist() == [10, 20, 30]
    assert TABLE.sums.tolist() == [[1.0, 0.0, 1.0], [0.5, 1.0, 0.0]]
    assert TABLE.counts.tolist() == [[1, 0, 1], [1, 2, 0]]
    assert TABLE.zero_one.tolist() == [True, False]


def test_means_know_what_is_missing():
    assert TABLE.means.tolist() == [1.0, 0.5]
    np.testing.assert_equal(TABLE.example_means, [[1.0, np.nan, 1.0], [0.5, 0.5, np.nan]])
    assert TABLE.common().tolist() == [True, False, False]
    assert TABLE.common([1]).tolist() == [True, True, False]


def test_only_some_examples():
    assert TABLE.only(TABLE.common()).means.tolist() == [1.0, 0.5]
    assert TABLE.only(TABLE.common()).examples.tolist() == [10]


def test_ids_make_rows_and_columns_of_which_there_are_no_values():
    table = Table.of([1.0], arms=[3], examples=[10], arm_ids=[3, 4], example_ids=[5, 10])
    assert table.counts.tolist() == [[0, 1], [0, 0]]
    np.testing.assert_equal(table.means, [1.0, np.nan])


def test_of_nothing():
    table = Table.of([], arms=[], examples=[], arm_ids=[1, 2])
    assert table.sums.shape == (2, 0)
    assert np.isnan(table.means).all()


def test_lots_keep_the_sums():
    values = np.random.default_rng(1).random(1_000)
    table = Table.of(values, examples=np.arange(1_000)).pooled(300)
    assert table.sums.shape == (1, 250)
    assert table.counts.sum() == 1_000
    assert table.means[0] == pytest.approx(values.mean())


def test_lots_of_sorted_examples_vary_as_their_sums_should():
    """Contiguous blocks would vary twenty times as much; every twentieth hardly varies."""
    values = np.sort(np.random.default_rng(2).random(20_000))
    lots = Table.of(values, examples=np.arange(20_000)).pooled(1_000)
    assert lots.sums.var() == pytest.approx(20 * values.var(), rel=0.15)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"examples": [1, 2]}, "one length"),
        ({"examples": [1], "arms": [1, 2]}, "one length"),
        ({"examples": [1], "arms": [1], "arm_ids": [2]}, "not among the ids"),
        ({"examples": [1], "example_ids": []}, "not among the ids"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        Table.of([1.0], **arguments)
