"""Run folders of verifiers v0, with the traps of real ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from rlm_runs.engine import events as e
from rlm_runs.formats.records import Unreadable
from rlm_runs.formats.sources import find_sources

from .files import TIPS, assistant, call, llm_row, metadata, rlm_row, tool, user, write_run


@pytest.fixture
def read(tmp_path):
    """The rollouts of a run folder with these rows."""

    def run(rows, **about):
        folder = write_run(tmp_path / "riddles--gpt-5-mini/12345678", rows, metadata(**about))
        (source,) = find_sources(folder)
        return list(source.rollouts())

    return run


def of(rollout, kind):
    return [event for event in rollout.events if isinstance(event, kind)]


def end(rollout):
    return rollout.events[-1]


def test_an_rlm_rollout(read):
    (rollout,) = read([rlm_row()])
    assert (rollout.arm.scaffold, rollout.arm.environment, rollout.arm.model) == ("rlm", "riddles", "gpt-5-mini")
    assert (rollout.example.key, rollout.example.prompt, rollout.example.answer) == ("0", "question 0", "42")
    assert rollout.example.metadata == {"kind": "easy"}
    (root, *subs) = of(rollout, e.TrajectoryStarted)
    assert root.opening == [e.Message("user", "question 0")]  # once, though the completion repeats it
    assert [turn.index for turn in of(rollout, e.TurnEnded)] == [0, 1, 2, 3, 4, 5]
    cells = of(rollout, e.ExecutionEnded)
    assert [cell.error_type for cell in cells] == ["TypeError", "", "", "", ""]
    assert [cell.truncated for cell in cells] == [False, False, True, False, False]
    assert [cell.seconds for cell in cells] == [0.45, 11.2, 0.01, 0.02, 0.03]
    assert cells[2].output is None
    assert [cell.answer for cell in cells] == ["", "", "", "draft", "42"]
    assert [cell.ready for cell in cells] == [False, False, False, False, True]
    assert [(sub.batch, sub.position, sub.summary.tool_calls) for sub in subs] == [(0, 0, 2), (0, 1, 5), (0, 2, 0)]
    assert [(ended.reward, ended.stop_reason, ended.answer) for ended in [end(rollout)]] == [
        (1.0, "answer_ready", "42")
    ]


def test_the_sums_are_those_of_the_file(read):
    (rollout,) = read([rlm_row()])
    assert end(rollout).reported == e.ReportedSums(
        seconds=60.5,
        turns=6,
        tool_calls=7,
        batches=1,
        max_batch=3,
        sub_calls=3,
        sub_turns=9,
        main_prompt_tokens=9000,
        main_completion_tokens=800,
        sub_prompt_tokens=4000,
        sub_completion_tokens=200,
        sub_seconds=9.5,
    )
    assert end(rollout).metrics == {"exact_match": 1.0, "sub_llm_mean_batch_size": 3.0}


def test_later_names_of_the_same_metrics(read):
    row = {name: value for name, value in rlm_row().items() if name not in ("turns", "prompt_tokens")}
    row |= {
        "metrics": {"main_rlm_turns": 8, "main_rlm_prompt_tokens": 77, "num_turns": 9, "exact_match": 0.5},
        "timing": {"generation_ms": 1500.0, "scoring_ms": 5.0},
    }
    del row["generation_ms"]
    (rollout,) = read([row])
    reported = end(rollout).reported
    assert (reported.turns, reported.main_prompt_tokens, reported.seconds) == (8, 77, 1.5)
    assert end(rollout).metrics["exact_match"] == 0.5


def test_times_end_with_the_date_of_the_metadata(read):
    (rollout,) = read([rlm_row()])
    assert rollout.events[0].at == datetime(2026, 1, 2, 3, 2, 25, tzinfo=UTC)
    assert end(rollout).at == datetime(2026, 1, 2, 3, 3, 26, tzinfo=UTC)


def test_results_with_ids_are_matched_by_them(read):
    (rollout,) = read([llm_row()], env_args={})
    assert rollout.arm.scaffold == "llm"
    started, ended = of(rollout, e.ExecutionStarted), of(rollout, e.ExecutionEnded)
    assert [(call.kind, call.arguments) for call in started] == [
        ("tool", '{"query": "x"}'),
        ("tool", '{"query": "y"}'),
    ]
    assert [call.shown for call in ended] == ["first", "second"]
    assert of(rollout, e.TrajectoryStarted)[0].tools[0]["function"]["name"] == "search"
    assert end(rollout).answer == "41"
    assert end(rollout).stop_reason == "final_message"
    assert end(rollout).reported.tool_calls == 2


def test_settings_of_the_arm(read):
    arguments = {
        "use_rlm": True,
        "include_env_tips": True,
        "max_iterations": 40,
        "code_execution_timeout": 300,
        "judge_model": "judge",
        "sub_model": "small",
        "seed": 1,
        "level": 3,
        "api_key": "sk-secret",
    }
    (rollout,) = read([rlm_row()], env_args=arguments)
    arm = rollout.arm
    assert arm.scaffold == "rlm_tips"
    assert arm.environment_settings == {"level": 3}
    assert arm.scaffold_settings == {"max_turns": 40, "cell_time_limit": 300}
    assert (arm.judge_model, arm.sub_model, arm.endpoint) == ("judge", "small", "api.example.org")
    assert arm.sampling == {"temperature": 0.5}


@pytest.mark.parametrize(
    ("row", "arguments", "scaffold"),
    [
        (rlm_row(), {"use_rlm": False}, "llm"),
        (rlm_row(), {"use_rlm": True, "include_env_tips": True}, "rlm_tips"),
        (rlm_row(), {}, "rlm"),
        (rlm_row(info={"mode": "rlm_tips"}), {"use_rlm": True}, "rlm_tips"),
        (rlm_row(info={"mode": "standard"}), {"use_rlm": True}, "llm"),
        (rlm_row(info={"mode": "swarm"}), {}, "swarm"),
        (rlm_row(prompt=[user("question" + TIPS)]), {"use_rlm": True}, "rlm_tips"),
        (llm_row(), {}, "llm"),
    ],
)
def test_the_scaffold_is_inferred(read, row, arguments, scaffold):
    assert read([row], env_args=arguments)[0].arm.scaffold == scaffold


def test_the_environment_by_its_older_name_with_owner_and_version(read):
    (rollout,) = read([llm_row()], env_id=None, env="owner/math_python@1.2")
    assert rollout.arm.environment == "math-python"


def test_the_tips_are_no_part_of_the_question(read):
    (rollout,) = read([rlm_row(prompt=[user("question 0" + TIPS)])])
    assert rollout.example.prompt == "question 0"


def test_a_python_tool_runs_cells_in_any_scaffold(read):
    row = llm_row(
        completion=[
            assistant("", call("1 + 1", name="python")),
            tool("Out[1]: 2"),
            assistant("", call("x", name="search")),
            tool("no"),
            assistant("2"),
        ]
    )
    (rollout,) = read([row], env_args={})
    assert [execution.kind for execution in of(rollout, e.ExecutionStarted)] == ["cell", "tool"]
    assert [execution.ready for execution in of(rollout, e.ExecutionEnded)] == [None, None]


def test_arguments_that_are_no_json_are_no_cell(read):
    broken = {"id": "c", "function": {"name": "call_python_repl", "arguments": '{"code": "x'}, "type": "function"}
    (rollout,) = read([rlm_row(completion=[assistant("", broken), tool("Error"), assistant("")])])
    assert of(rollout, e.ExecutionStarted)[0].kind == "tool"


@pytest.mark.parametrize(
    ("error", "stop_reason", "boundary"),
    [
        ("SandboxError(CommandTimeoutError('timed out after 30s in sandbox'))", "sandbox_error", "sandbox"),
        ("BadRequestError: maximum context length is 400000 tokens", "prompt_too_long", "model"),
        ("RateLimitError: slow down", "model_error", "model"),
        ({"error": "ToolCallError", "message": "x"}, "tool_error", "tool"),
        ("who knows", "error", ""),
    ],
)
def test_what_broke_off_has_no_reward(read, error, stop_reason, boundary):
    (rollout,) = read([rlm_row(error=error, completion=[], reward=0.0)])
    ended = end(rollout)
    assert (ended.reward, ended.stop_reason, ended.boundary) == (None, stop_reason, boundary)
    assert ended.error
    assert ended.metrics == {}
    assert of(rollout, e.TrajectoryStarted) == []


def test_a_plain_model_that_said_nothing_was_refused_its_prompt(read):
    (rollout,) = read([llm_row(completion=[], turns=0.0, prompt_tokens=0.0)], env_args={})
    assert (end(rollout).reward, end(rollout).stop_reason) == (None, "prompt_too_long")
    (rollout,) = read([rlm_row(completion=[])])
    assert (end(rollout).reward, end(rollout).stop_reason) == (None, "error")


@pytest.mark.parametrize(
    ("changes", "stop_reason"),
    [
        ({"stop_condition": "max_turns_reached"}, "max_turns"),
        ({"stop_condition": "prompt_too_long"}, "prompt_too_long"),
        ({"stop_condition": "something of theirs"}, "something of theirs"),
        ({"completion": [assistant("", call("x"))]}, "max_turns"),  # nobody answered its last call
        ({"completion": [assistant("", call("x")), tool("y")]}, "not_recorded"),
    ],
)
def test_why_it_ended(read, changes, stop_reason):
    assert end(read([rlm_row(**changes)])[0]).stop_reason == stop_reason


@pytest.mark.parametrize("reward", ["NaN", "Infinity", "null"])
def test_a_reward_that_is_no_number_was_not_given(read, reward):
    line = json.dumps(rlm_row(reward="REWARD")).replace('"REWARD"', reward)
    (rollout,) = read([line])
    assert (end(rollout).reward, end(rollout).stop_reason) == (None, "unscored")


def test_batch_lines_that_a_cell_printed_itself_are_no_calls(read):
    (rollout,) = read([rlm_row(sub_llm_call_count=0.0)])
    assert len(of(rollout, e.TrajectoryStarted)) == 1
    assert end(rollout).reported.sub_seconds == 0.0


def test_contents_of_other_shapes(read):
    parts = [{"type": "text", "text": "look: "}, {"type": "image_url", "image_url": {}}]
    row = llm_row(
        prompt="only a text", completion=[{"role": "assistant", "content": parts}, user("go on"), assistant()]
    )
    (rollout,) = read([row], env_args={})
    assert of(rollout, e.TrajectoryStarted)[0].opening == [e.Message("user", "only a text")]
    first, second = of(rollout, e.TurnEnded)
    assert (first.content, first.reply, second.content) == ("look: [image_url]", "go on", "")


def test_a_completion_that_is_one_text(read):
    (rollout,) = read([llm_row(completion="\x00 42 \x07")], env_args={})
    assert end(rollout).answer == "\x00 42 \x07"


def test_what_stands_beside_the_prompt_opens_the_conversation_too(read):
    system = {"role": "system", "content": "You drive a REPL."}
    (rollout,) = read([rlm_row(completion=[system, user("question 0"), assistant("42")])])
    assert [m.role for m in of(rollout, e.TrajectoryStarted)[0].opening] == ["system", "user"]


def nested(levels):
    return [nested(levels - 1)] if levels else []


def test_texts_that_are_nested_too_deep_are_no_objects(read):
    deep = json.dumps(nested(900))
    (rollout,) = read([rlm_row(info=f'{{"kind": {deep}}}', tools=deep)])
    assert of(rollout, e.TrajectoryStarted)[0].tools == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"example_id": 1, "completion": [', "line 2: not valid JSON"),
        ("[1, 2]", "line 2: a JSON object is expected, not list"),
        (
            json.dumps(rlm_row(completion=[{"content": "x"}])),
            r"line 2: completion\[0\] is not a message with a role",
        ),
        (
            json.dumps(rlm_row(completion=[assistant("", "{")])),
            r"line 2: completion\[0\].tool_calls\[0\] is a text",
        ),
        (json.dumps(rlm_row(completion=[assistant("", 7)])), "names no function"),
        (json.dumps(rlm_row(completion=7)), "completion must be a list of messages or a text, not int"),
        (json.dumps(rlm_row(turns=-1)), "line 2: turns is not a count: -1"),
        (json.dumps(rlm_row(turns=1e300)), "turns is not a count"),
        (json.dumps(rlm_row(reward="good")), "reward is not a number: 'good'"),
        (json.dumps(rlm_row(generation_ms=1e30)), "generation_ms is no time that a rollout can take"),
        ("[" * 100_000, "line 2: not valid JSON"),
        (json.dumps(rlm_row(tools=nested(900))), "line 2: not valid JSON: it is nested more than 100 levels deep"),
        (
            json.dumps(rlm_row(completion=[assistant("", json.dumps({"name": "x", "arguments": nested(900)}))])),
            "it is nested more than 100 levels deep",
        ),
    ],
)
def test_a_line_that_cannot_be_read_is_named(read, line, reason):
    with pytest.raises(Unreadable, match=reason):
        read([rlm_row(), line])


def test_bytes_that_are_no_text(tmp_path):
    folder = write_run(tmp_path, [rlm_row()])
    with (folder / "results.jsonl").open("ab") as file:
        file.write(b'{"answer": "\xff"}\n')
    (source,) = find_sources(folder)
    with pytest.raises(Unreadable, match="line 2: not UTF-8"):
        list(source.rollouts())


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        (None, "there is no metadata.json beside it"),
        (metadata(model=None), "metadata.json: it names no model"),
        (metadata(env_args=[]) | {"env_id": ""}, "it names no environment"),
        (metadata(env_id="owner/@1.0"), "it names no environment"),
        (metadata(notes=nested(900)), "metadata.json: not valid JSON: it is nested more than 100"),
        (metadata(env_args="x"), "env_args is not an object"),
    ],
)
def test_metadata_that_are_not_enough(tmp_path, about, reason):
    (source,) = find_sources(write_run(tmp_path / "run", [rlm_row()], about))
    with pytest.raises(Unreadable, match=reason):
        list(source.rollouts())


def test_what_may_be_a_key_is_not_kept(tmp_path):
    about = metadata(
        sampling_args={"extra_headers": {"Authorization": "Bearer x"}, "temperature": 1},
        api_key="sk-1",
        base_url="https://me:sk-1@api.example.org/v1?token=sk-1",
    )
    (source,) = find_sources(write_run(tmp_path / "run", [rlm_row()], about))
    assert "sk-1" not in json.dumps(source.about())
    assert "Bearer" not in json.dumps(source.about())
    assert next(source.rollouts()).arm.sampling == {"temperature": 1}
