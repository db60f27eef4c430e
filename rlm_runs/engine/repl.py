"""The REPL of a rollout as its root model meets it: a tool call in, a cell run, what is shown of it out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from sandbox.contract import Answer, Batch, CellResult, Sandbox

from .cell_text import shown_text, whole_text
from .conversation import Conversation
from .events import ExecutionEnded, ExecutionStarted, ToolCall
from .run import Run, now
from .sub_llms import SubLlms
from .toolbox import BadCall, arguments_of, refuse, schema


def repl_tool(*, name: str, description: str) -> dict[str, Any]:
    """The schema of a tool that runs a cell."""
    return schema(
        name=name,
        description=description,
        parameters={
            "type": "object",
            "properties": {"code": {"type": "string", "description": "Python source of the cell."}},
            "required": ["code"],
            "additionalProperties": False,
        },
    )


class Repl:
    """Runs the cells of one rollout. `sub_llms` is None for a plain Python tool."""

    def __init__(
        self,
        run: Run,
        sandbox: Sandbox,
        *,
        tool_name: str,
        time_limit: float,
        output_limit: int,
        sub_llms: SubLlms | None = None,
    ) -> None:
        self._run = run
        self._sandbox = sandbox
        self._tool_name = tool_name
        self._time_limit = time_limit
        self._output_limit = output_limit
        self._sub_llms = sub_llms
        self._cells = 0
        # A cell runs in a thread of its own, so that the rollout's thread can record its sub-LLMs meanwhile.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cell")
        self.answer = Answer()

    def call(self, conversation: Conversation, call: ToolCall, *, position: int) -> None:
        """Runs the cell of a tool call and adds what is shown of it. Raises SandboxError."""
        try:
            code = self._code_of(call)
        except BadCall as error:
            refuse(self._run, conversation, call, position=position, why=str(error))
            return
        key = self._run.new_key()
        self._run.emit(
            ExecutionStarted(
                key=key,
                trajectory=conversation.key,
                turn=conversation.turns - 1,
                position=position,
                at=now(),
                kind="cell",
                name=call.name,
                call_id=call.id,
                arguments=call.arguments,
            )
        )
        self._cells += 1
        result = self._run.wait_for(self._thread.submit(self._execute, code, key=key))
        self._run.control.check()
        self.answer = result.answer
        shown = self._tell(result, key=key)
        conversation.add_result(call, shown)

    def close(self) -> None:
        """Ends the thread; a cell that still runs has to be ended by closing the sandbox first."""
        self._thread.shutdown(wait=True)

    def _code_of(self, call: ToolCall) -> str:
        if call.name != self._tool_name:
            raise BadCall(f"there is no tool {call.name!r}; there is {self._tool_name}")
        code = arguments_of(call, required=["code"])["code"]
        if not isinstance(code, str):
            raise BadCall(f"code must be a string, not {json.dumps(code)[:100]}")
        return code

    def _execute(self, code: str, *, key: int) -> CellResult:
        return self._sandbox.execute(code, time_limit=self._time_limit, on_batch=self._server_of(key))

    def _server_of(self, key: int) -> Callable[[Batch], None] | None:
        """What answers the batches of the cell with this key, numbering them from 0."""
        sub_llms = self._sub_llms
        if sub_llms is None:
            return None
        numbers = itertools.count()
        return lambda batch: sub_llms.serve(batch, parent=key, number=next(numbers))

    def _tell(self, result: CellResult, *, key: int) -> str:
        shown, cut = shown_text(result, number=self._cells, limit=self._output_limit, time_limit=self._time_limit)
        whole = whole_text(result, number=self._cells)
        rlm = self._sub_llms is not None
        self._run.emit(
            ExecutionEnded(
                key=key,
                seconds=result.wall_seconds,
                output=whole,
                shown=shown,
                output_chars=len(whole) + result.output_chars - len(result.output),
                out=result.out,
                error_type=result.error.type if result.error else "",
                error_message=result.error.message if result.error else "",
                timed_out=result.timed_out,
                state_lost=result.state_lost,
                truncated=cut,
                cpu_seconds=result.cpu_seconds,
                peak_memory_bytes=result.peak_memory_bytes or None,
                answer=result.answer.content if rlm else None,
                ready=result.answer.ready if rlm else None,
                variables=[asdict(variable) for variable in result.variables],
            )
        )
        return shown
