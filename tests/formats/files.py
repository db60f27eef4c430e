"""Small files in the formats of other tools, with the traps of real ones."""

from __future__ import annotations

import csv
import json

TIPS = "\n\n<env_tips>\nSplit it up.\n</env_tips>"
BATCH = """\
looking
llm_batch: 3 call(s) in 9.50s
  [0]: 1200 tokens, 2 tool calls, 4.25s ✓
  [1]: 3000 tokens, 5 tool calls, 9.49s ⚠ max turns
  [2]: 0 tokens, 0 tool calls, 9.50s ⚠ max turns
['a', 'b', 'Error: timed out']
[Execution time: 11.20s]"""


def call(code, *, id="c1", name="call_python_repl", as_text=True):
    """A tool call with the code of a cell: three layers of JSON, as the files have it."""
    made = {"id": id, "function": {"arguments": json.dumps({"code": code}), "name": name}, "type": "function"}
    return json.dumps(made) if as_text else made


def assistant(content="", *calls):
    return {"content": content, "role": "assistant", "tool_calls": list(calls) or None}


def tool(content, **more):
    return {"content": content, "role": "tool", "tool_calls": None, **more}


def user(content):
    return {"content": content, "role": "user"}


def rlm_row(number=0, **changes):
    """An RLM rollout: an error, a batch, a cut output, an answer in two steps, a last message."""
    prompt = user(f"question {number}")
    row = {
        "example_id": number,
        "prompt": [prompt],
        "completion": [
            prompt | {"tool_calls": None},
            assistant("", call("print(extra_data[:5])")),
            tool(
                "<class 'NoneType'>\nTraceback (most recent call last):\n"
                '  File "/tmp/worker.py", line 186, in <module>\n    value = eval(\n            ^^^^^\n'
                '  File "<cell>", line 3, in <module>\n'
                "TypeError: 'NoneType' object is not subscriptable\n[Execution time: 0.45s]"
            ),
            assistant("", call("res = llm_batch(prompts)\nprint(res)", id="c2")),
            tool(BATCH),
            assistant("", call("print('x' * 9000)", id="c3")),
            tool("x" * 8192 + "\n... [output truncated]\n[Execution time: 0.01s]"),
            assistant("", call('answer["content"] = "draft"\nanswer["content"]', id="c4")),
            tool("Out[4]: 'draft'\n[Execution time: 0.02s]"),
            assistant("", call('answer["content"] = "42"\nanswer["ready"] = True', id="c5")),
            tool("[Execution time: 0.03s]"),
            assistant("The answer is 42."),
        ],
        "task": "default",
        "reward": 1.0,
        "error": None,
        "generation_ms": 60_500.0,
        "scoring_ms": 500.0,
        "total_ms": 61_000.0,
        "info": {"kind": "easy", "raw_question": "x" * 300},
        "answer": "42",
        "exact_match": 1.0,
        "sub_llm_call_count": 3.0,
        "sub_llm_prompt_tokens": 4000.0,
        "sub_llm_completion_tokens": 200.0,
        "sub_llm_total_tool_calls": 7.0,
        "sub_llm_total_turns": 9.0,
        "sub_llm_batch_count": 1.0,
        "sub_llm_max_batch_size": 3.0,
        "sub_llm_mean_batch_size": 3.0,
        "turns": 6.0,
        "prompt_tokens": 9000.0,
        "completion_tokens": 800.0,
    }
    return row | changes


def llm_row(number=0, **changes):
    """A plain model with a search tool, in the shape of older files."""
    row = {
        "example_id": number,
        "prompt": [{"role": "system", "content": "Use the tools."}, user(f"question {number}")],
        "completion": [
            assistant(
                "I look.",
                {"id": "a", "function": {"name": "search", "arguments": '{"query": "x"}'}, "type": "function"},
                {"id": "b", "function": {"name": "search", "arguments": '{"query": "y"}'}, "type": "function"},
            ),
            tool("second", tool_call_id="b"),
            tool("first", tool_call_id="a"),
            assistant("41"),
        ],
        "answer": "42",
        "reward": 0.0,
        "generation_ms": 2000.0,
        "scoring_ms": 1.0,
        "total_ms": 2001.0,
        "info": {"oai_tools": [{"type": "function", "function": {"name": "search", "parameters": {}}}]},
    }
    return row | changes


METADATA = {
    "env_id": "riddles",
    "env_args": {"use_rlm": True, "include_env_tips": False, "shuffle": True, "seed": 42, "level": 3},
    "model": "gpt-5-mini",
    "base_url": "https://api.example.org/v1/",
    "num_examples": 2,
    "rollouts_per_example": 1,
    "sampling_args": {"n": 1, "extra_body": {}, "max_tokens": None, "temperature": 0.5},
    "date": "2026-01-02 03:04:05",
    "time_ms": 100_000.0,
    "avg_reward": 1.0,
}


def metadata(**changes):
    return METADATA | changes


def write_run(folder, rows, about=METADATA):
    """A run folder; rows are objects, or lines as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "results.jsonl").write_text("\n".join(lines) + "\n")
    if about is not None:
        (folder / "metadata.json").write_text(json.dumps(about))
    return folder


def write_csv(path, rows):
    """A table; the columns are those of the first row."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def csv_row(mode="rlm", **changes):
    row = {
        "model": "gpt-5-mini",
        "mode": mode,
        "subset": "real",
        "judge_reward": "1.0",
        "exact_match": "0.0",
        "context_length": "1000",
        "generation_ms": "2000.0",
        "scoring_ms": "10.0",
        "total_ms": "2010.0",
        "sub_llm_call_count": "3.0",
        "sub_llm_prompt_tokens": "30.0",
        "sub_llm_completion_tokens": "6.0",
        "sub_llm_total_tool_calls": "0.0",
        "sub_llm_total_turns": "3.0",
        "sub_llm_batch_count": "1.0",
        "sub_llm_max_batch_size": "3.0",
        "turns": "4.0",
        "prompt_tokens": "100.0",
        "completion_tokens": "20.0",
    }
    return row | changes
