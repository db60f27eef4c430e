"""Transcripts: one trajectory of a rollout at a time.

A `Conversation` is a trajectory with its turns, their cells and tool calls, and one line for each sub-LLM that a
cell called. Each line opens to its own conversation, at any depth, so nothing here recurses. Only the beginning of
each text is read (`Excerpt`). `prompt_of` returns the exact messages of a turn's model call.
"""

from __future__ import annotations

from .conversation import Batch, Conversation, ExecutionView, OpeningMessage, OutlineEntry, SubCall, TurnView
from .excerpts import EMPTY, EXCERPT_CHARS, FIRST_LINE_CHARS, Excerpt, code_of, excerpts
from .prompts import prompt_of
from .reading import Window, batch_of, judges_of, read, root_of, version_of
from .whole import DEFAULT_BOUNDS, Bounds, WholeTrace, read_whole

__all__ = [
    "DEFAULT_BOUNDS",
    "EMPTY",
    "EXCERPT_CHARS",
    "FIRST_LINE_CHARS",
    "Batch",
    "Bounds",
    "Conversation",
    "Excerpt",
    "ExecutionView",
    "OpeningMessage",
    "OutlineEntry",
    "SubCall",
    "TurnView",
    "WholeTrace",
    "Window",
    "batch_of",
    "code_of",
    "excerpts",
    "judges_of",
    "prompt_of",
    "read",
    "read_whole",
    "root_of",
    "version_of",
]
