"""An environment with one riddle, scripts for the model, and helpers to read events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rlm_runs.engine import events as e
from rlm_runs.engine.environments.base import Environment, Example, Score, Settings, Tool
from tests.scripted_server import cell


class Riddle(Environment[Settings]):
    """One example whose answer is 42; sub-LLMs, or the plain model, can look things up."""

    name = "riddle"
    title = "Riddle"
    description = "For tests."
    settings_type = Settings
    tips: ClassVar = {"tips": "Think of a number."}
    with_tools = True

    def load(self, *, n: int, seed: int) -> Sequence[Example]:
        return [EXAMPLE] * n

    def score(self, example: Example, answer: str) -> Score:
        if answer == "unscorable":
            raise ValueError("cannot be scored")
        return Score(reward=float(answer == example.answer))

    def tools(self) -> Sequence[Tool]:
        schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
        return [Tool("look_up", "Looks a word up.", schema, _look_up)] if self.with_tools else []


class PlainRiddle(Riddle):
    with_tools = False


class PythonRiddle(PlainRiddle):
    python_tool = True


def _look_up(word: str) -> str:
    if word == "broken":
        raise ConnectionError("the dictionary is closed")
    return f"{word} means 42"


EXAMPLE = Example(prompt="What is the number?", answer="42", input_data="a haystack " * 1000)
DONE = cell('answer["content"] = "42"; answer["ready"] = True')


def of(told, kind):
    return [event for event in told if isinstance(event, kind)]


def ended(told):
    assert isinstance(told[-1], e.RolloutEnded)
    return told[-1]


def is_sub(request):
    return request["messages"][0]["content"].startswith("You are a sub-LLM")


def steps(*replies, sub=None):
    """A script: the root's replies in turn, then the last for ever; `sub` answers sub-LLMs."""
    left = list(replies)

    def script(request):
        if is_sub(request):
            return sub(request)
        return left.pop(0) if len(left) > 1 else left[0]

    return script
