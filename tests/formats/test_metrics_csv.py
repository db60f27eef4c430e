"""Tables of metrics."""

from __future__ import annotations

import os

import pytest

from rlm_runs.engine import events as e
from rlm_runs.formats.metrics_csv import MetricsCsv
from rlm_runs.formats.records import Unreadable
from rlm_runs.formats.sources import find_sources

from .files import csv_row, write_csv


@pytest.fixture
def read(tmp_path):
    def run(rows, *, name="oolong_real_results.csv", **more):
        return list(MetricsCsv(write_csv(tmp_path / name, rows), **more).rollouts())

    return run


def end(rollout):
    return rollout.events[-1]


def test_a_row(read):
    (rollout,) = read([csv_row()])
    assert (rollout.arm.environment, rollout.arm.scaffold, rollout.arm.model) == ("oolong", "rlm", "gpt-5-mini")
    assert rollout.arm.environment_settings == {"subset": "real"}
    assert rollout.example.metadata == {"context_length": 1000, "subset": "real"}
    assert "not in the file" in rollout.example.prompt
    assert [type(event) for event in rollout.events] == [e.RolloutStarted, e.RolloutEnded]
    ended = end(rollout)
    assert (ended.reward, ended.answer, ended.stop_reason) == (1.0, None, "not_recorded")
    assert ended.metrics == {"judge_reward": 1, "exact_match": 0}
    assert (ended.reported.seconds, ended.reported.sub_calls, ended.reported.tool_calls) == (2.0, 3, 0)


def test_the_same_place_in_each_mode_is_the_same_example(read):
    rows = [csv_row(mode, context_length=length) for mode in ("standard", "rlm") for length in (7, 7, 9)]
    prompts = [rollout.example.prompt for rollout in read(rows)]
    assert prompts[:3] == prompts[3:]
    assert len(set(prompts)) == 3


def test_another_length_is_another_example(read):
    first, second = read([csv_row("standard", context_length=7), csv_row("rlm", context_length=8)])
    assert first.example.prompt != second.example.prompt


def test_examples_without_a_length_are_those_of_their_file(read):
    bare = {"mode": "rlm", "reward": 1}
    (one,) = read([bare], name="riddles.csv")
    (other,) = read([bare | {"reward": 0}], name="riddles2.csv")
    assert one.example.prompt != other.example.prompt
    assert one.arm.environment == "riddles"


def test_a_number_of_the_example_goes_before_its_place(read):
    rows = [csv_row(example_id=5), csv_row(example_id=5), csv_row(example_id=6)]
    assert [rollout.example.key for rollout in read(rows)] == ["5", "5", "6"]


def test_a_plain_model_without_a_turn_was_refused_its_prompt(read):
    nothing = {"turns": "0.0", "prompt_tokens": "0.0", "judge_reward": "0.0"}
    llm, rlm = read([csv_row("standard", **nothing), csv_row("rlm", **nothing)])
    assert (end(llm).reward, end(llm).stop_reason) == (None, "prompt_too_long")
    assert (end(rlm).reward, end(rlm).stop_reason) == (None, "error")
    assert end(llm).reported.main_prompt_tokens == 0


def test_columns_are_optional_and_in_any_order(read):
    (rollout,) = read([{"my_reward_func": "0.5", "depth_metric": "3", "note": "hm", "mode": "rlm+tips"}])
    assert (rollout.arm.scaffold, rollout.arm.model) == ("rlm_tips", "not recorded")
    assert end(rollout).reward == 0.5
    assert end(rollout).metrics == {"my_reward_func": 0.5, "depth_metric": 3}
    assert end(rollout).reported.main_prompt_tokens is None


def test_the_environment_may_be_said(read):
    assert read([csv_row()], environment="needles")[0].arm.environment == "needles"
    assert read([csv_row(env_id="deep_dive")])[0].arm.environment == "deep-dive"


@pytest.mark.parametrize("reward", ["", "nan"])
def test_an_empty_reward_was_not_given(read, reward):
    (rollout,) = read([csv_row(judge_reward=reward)])
    assert (end(rollout).reward, end(rollout).stop_reason) == (None, "unscored")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mode,reward\nrlm,1\nrlm\n", "line 3: it has 1 fields, and the head 2"),
        ("mode,reward\nrlm,1\nrlm,x\n", "line 3: reward is not a number: 'x'"),
        ("mode,reward\n,1\n", "line 2: it has no mode"),
        ("mode,reward,turns\nrlm,1,2.5\n", "line 2: turns is not a count"),
        ("mode,reward,reward\nrlm,1,2\n", "line 1: the head has 'reward' twice"),
        ("reward\n1\n", "line 1: no column tells the mode"),
        ("mode,a_reward,b_reward\nrlm,1,1\n", "line 1: no column tells the reward"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path, text, reason):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(Unreadable, match=reason):
        list(MetricsCsv(path).rollouts())


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"mode,reward\nrlm,1\nrlm,\xff\nrlm,1\n")
    (source,) = find_sources(tmp_path)  # it is not passed over
    with pytest.raises(Unreadable, match="line 3: not UTF-8"):
        list(source.rollouts())
    path.write_bytes(b"mode,reward,\xff\nrlm,1,1\n")
    with pytest.raises(Unreadable, match="line 1: not UTF-8"):
        list(MetricsCsv(path).rollouts())


def test_what_is_found_in_a_folder(tmp_path):
    write_csv(tmp_path / "b.csv", [csv_row()])
    write_csv(tmp_path / "prices.csv", [{"model": "x", "price": 1}])
    (tmp_path / "notes.txt").write_text("hello")
    assert [source.path.name for source in find_sources(tmp_path)] == ["b.csv"]
    with pytest.raises(Unreadable, match="it is in no format that can be imported"):
        find_sources(tmp_path / "prices.csv")
    with pytest.raises(Unreadable, match="there is no such file"):
        find_sources(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe.csv")  # nobody writes into it: who opens it waits for ever
    with pytest.raises(Unreadable, match="it is in no format that can be imported"):
        find_sources(tmp_path / "pipe.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unreadable, match="it holds neither run folders"):
        find_sources(tmp_path / "empty")
