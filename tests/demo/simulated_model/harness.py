"""Plays the host for a policy: sends what a scaffold sends and runs cells in a small REPL.

`ask` is how a completion is had: over HTTP from a server, or from the policies directly, which is faster.
"""

import ast
import contextlib
import http.client
import io
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

import openai

from rlm_runs.demo.simulated_model.conversation import read_conversation
from rlm_runs.demo.simulated_model.policies import reply_to
from rlm_runs.demo.simulated_model.tokens import prompt_tokens
from rlm_runs.engine.environments.boxed import unboxed

PROMPTS = Path(__file__).parents[3] / "rlm_runs/engine/scaffolds/prompts"
JUDGE = (PROMPTS.parents[1] / "judge_system.txt").read_text().strip()
REPL = "call_python_repl"
OUTPUT_LIMIT = 8192
MAX_TURNS = 30
SUB_TURNS = 5


class PromptTooLong(Exception):
    """The model refused the prompt."""


@dataclass(frozen=True)
class Answered:
    """The parts of a completion that the harness needs."""

    content: str
    call_id: str = ""
    tool: str = ""
    arguments: dict = field(default_factory=dict)

    @property
    def code(self) -> str:
        return self.arguments.get("code", "")


@dataclass(frozen=True)
class Response:
    """The response to a plain HTTP request."""

    status: int
    json: dict


def request(url: str, method: str, path: str, *, body: str = "", headers: dict | None = None) -> Response:
    """A request that no SDK would make."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        connection.request(method, path, body or None, headers or {})
        response = connection.getresponse()
        return Response(response.status, json.loads(response.read()))
    finally:
        connection.close()


Ask = Callable[[list, list], Answered]


@dataclass
class Played:
    """The result of a rollout."""

    answer: str = ""
    turns: int = 0
    sub_calls: int = 0
    ended: str = ""
    cells: list[tuple[str, str]] = field(default_factory=list)


def over_http(client: openai.OpenAI) -> Ask:
    def ask(messages: list, tools: list) -> Answered:
        extra = {"tools": tools} if tools else {}
        try:
            made = client.chat.completions.create(model="demo-model", messages=messages, **extra)
        except openai.BadRequestError as error:
            if error.code != "context_length_exceeded":
                raise
            raise PromptTooLong from error
        message = made.choices[0].message
        if not message.tool_calls:
            return Answered(message.content or "")
        call = message.tool_calls[0]
        arguments = json.loads(call.function.arguments)
        return Answered(message.content or "", call.id, call.function.name, arguments)

    return ask


def directly(*, window: int = 16_000, seed: str = "7") -> Ask:
    def ask(messages: list, tools: list) -> Answered:
        if prompt_tokens(messages, tools=tools) > window:
            raise PromptTooLong
        reply = reply_to(read_conversation(messages, tools=tools, seed=seed))
        arguments = {"code": reply.code} if reply.arguments is None else dict(reply.arguments)
        return Answered(reply.content, f"call_{len(messages)}", reply.tool, arguments)

    return ask


def tool(name: str) -> dict:
    parameters = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


def schemas(environment) -> list[dict]:
    """The schemas of the environment's tools."""
    return [
        {
            "type": "function",
            "function": {"name": t.name, "description": t.description, "parameters": t.parameters},
        }
        for t in environment.tools()
    ]


def reward(environment, example, answer: str, *, ask: Ask) -> float:
    """The environment's score, or the verdict of the model as judge."""
    asked = environment.judge_prompt(example, answer)
    if asked is None:
        return environment.score(example, answer).reward
    said = ask([{"role": "system", "content": JUDGE}, {"role": "user", "content": asked}], []).content
    assert said in ("yes", "no")
    return float(said == "yes")


def prompt(name: str, **values: str) -> str:
    return Template((PROMPTS / name).read_text().strip()).safe_substitute(values)


def play(environment, example, scaffold: str, *, ask: Ask) -> Played:
    """One rollout of one of the three scaffolds."""
    played = Played()
    try:
        if scaffold == "llm":
            _play_llm(environment, example, played, ask=ask)
        else:
            _play_rlm(environment, example, played, ask=ask, tips=scaffold == "rlm_tips")
    except PromptTooLong:
        played.ended = "prompt_too_long"
    return played


def _play_llm(environment, example, played: Played, *, ask: Ask) -> None:
    text = example.prompt
    if example.input_data is not None:
        text = prompt("llm_with_input.txt", prompt=example.prompt, input_data=example.input_data)
    messages = [{"role": "user", "content": text}]
    namespace: dict = {}
    tools = [tool("python")] if environment.python_tool else schemas(environment)
    while played.turns < MAX_TURNS:
        answered = ask(messages, tools)
        played.turns += 1
        if not answered.tool:
            played.answer, played.ended = answered.content, "final_message"
            return
        if environment.python_tool:
            _run_cell(answered, messages, played, namespace)
        else:
            _call_tool(environment, answered, messages)


def _call_tool(environment, answered: Answered, messages: list) -> None:
    called = next(t.call for t in environment.tools() if t.name == answered.tool)
    _add_result(messages, answered, called(**answered.arguments))


def _sub_llm(environment, task: str, *, ask: Ask) -> str:
    """Some turns with tools, then one without, as in the engine."""
    messages = [{"role": "system", "content": prompt("sub_llm_system.txt")}, {"role": "user", "content": task}]
    for _ in range(SUB_TURNS if environment.tools() else 0):
        answered = ask(messages, schemas(environment))
        if not answered.tool:
            return unboxed(answered.content)
        _call_tool(environment, answered, messages)
    answered = ask(messages, [])
    assert not answered.tool
    return unboxed(answered.content)


def _play_rlm(environment, example, played: Played, *, ask: Ask, tips: bool) -> None:
    text = example.prompt
    if tips:
        text += f"\n\n<env_tips>\n{next(iter(environment.tips.values()))}\n</env_tips>"
    messages = [{"role": "system", "content": prompt("rlm_system.txt")}, {"role": "user", "content": text}]

    def llm_batch(prompts: list[str]) -> list[str]:
        played.sub_calls += len(prompts)
        answers = [_sub_llm(environment, p, ask=ask) for p in prompts]
        print(f"llm_batch: {len(prompts)} call(s) in 1.00s")
        return answers

    namespace: dict = {"answer": {"content": "", "ready": False}, "llm_batch": llm_batch}
    if example.input_data is not None:
        namespace["context"] = example.input_data
    while played.turns < MAX_TURNS and not namespace["answer"]["ready"]:
        answered = ask(messages, [tool(REPL)])
        played.turns += 1
        assert answered.tool == REPL, "a root model answers by cells alone"
        _run_cell(answered, messages, played, namespace)
        played.answer = str(namespace["answer"]["content"])
    played.ended = "answer_ready" if namespace["answer"]["ready"] else "max_turns"


def _run_cell(answered: Answered, messages: list, played: Played, namespace: dict) -> None:
    shown = execute(answered.code, namespace, number=len(played.cells) + 1)
    played.cells.append((answered.code, shown))
    _add_result(messages, answered, shown)


def _add_result(messages: list, answered: Answered, shown: str) -> None:
    function = {"name": answered.tool, "arguments": json.dumps(answered.arguments)}
    call = {"id": answered.call_id, "type": "function", "function": function}
    messages.append({"role": "assistant", "content": answered.content, "tool_calls": [call]})
    messages.append({"role": "tool", "tool_call_id": answered.call_id, "content": shown})


def execute(code: str, namespace: dict, *, number: int) -> str:
    """Runs a cell as a notebook does and returns the text for the model."""
    output, value = io.StringIO(), None
    with contextlib.redirect_stdout(output):
        try:
            tree = ast.parse(code)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "<cell>", "exec"), namespace)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
        except PromptTooLong:
            raise
        except Exception:
            output.write(traceback.format_exc())
    text = output.getvalue()
    if value is not None:
        text += f"{'' if not text or text.endswith(chr(10)) else chr(10)}Out[{number}]: {value!r}"
    if len(text) > OUTPUT_LIMIT:
        mark = f"... [output truncated: the first {OUTPUT_LIMIT:,} of {len(text):,} characters are shown]"
        text = f"{text[:OUTPUT_LIMIT]}\n{mark}"
    return f"{text.rstrip(chr(10))}\n[Execution time: 0.01s]"
