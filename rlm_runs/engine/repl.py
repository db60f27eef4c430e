"""The REPL from the model's side: a tool call runs a cell and returns its text."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sandbox.contract import Answer, Batch, CellResult, Sandbox

from .cell_text import shown_text, whole_text
from .conversation import Conversation
from .errors import FunctionsFailed
from .events import ExecutionEnded, ToolCall
from .live import CellSoFar
from .rollout_context import RolloutContext
from .threads import CallThread
from .toolbox import BadCall, Toolbox, arguments_of, refuse, schema


def repl_tool(*, name: str, description: str) -> dict[str, Any]:
    """Returns the schema of a tool that runs a cell."""
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


class BatchServer(Protocol):
    """A server of the `llm_batch` calls of cells."""

    def serve(self, batch: Batch, *, parent: int, number: int) -> None:
        """Starts the calls of a batch and returns immediately. `parent` is its cell; `number` counts the cell's
        batches from 0.
        """

    def abandon(self, parent: int) -> None:
        """Stops the calls of a cell that has ended."""


@dataclass(frozen=True)
class ReplSettings:
    """Settings of a REPL: the tool that runs cells, and a cell's limits in seconds and in characters shown.

    `functions` is source that runs before the first cell, and again after the state is lost.
    """

    tool_name: str
    time_limit: float
    output_limit: int
    functions: str = ""


class Repl:
    """The REPL of one conversation. It runs cells in a sandbox, which it closes.

    `answers` says whether the REPL has an `answer`. Without a `server` there is no `llm_batch`. The toolbox
    `beside` makes the calls of other tools.
    """

    def __init__(
        self,
        run: RolloutContext,
        sandbox: Sandbox,
        *,
        rules: ReplSettings,
        answers: bool = False,
        server: BatchServer | None = None,
        beside: Toolbox | None = None,
    ) -> None:
        self._run = run
        self._sandbox = sandbox
        self._rules = rules
        self._answers = answers
        self._server = server
        self._beside = beside or Toolbox(run, (), time_limit=rules.time_limit)
        self._functions_due = bool(rules.functions)
        self._cells = 0
        # A cell runs in its own thread, so that the rollout's thread can record sub-LLMs at the same time.
        self._thread = CallThread("cell")
        self.answer = Answer()

    def prepare(self) -> None:
        """Runs the functions of the settings. Raises FunctionsFailed and SandboxError."""
        if self._functions_due:
            self._run.wait_for(self._thread.submit(self._run_functions))

    def call(self, conversation: Conversation, call: ToolCall, *, position: int) -> None:
        """Runs the cell of a tool call and adds its text to the conversation. Raises SandboxError."""
        if call.name in self._beside:
            self._beside.call(conversation, call, position=position)
            return
        try:
            code = self._code_of(call)
        except BadCall as error:
            refuse(self._run, conversation, call, position=position, why=str(error))
            return
        recorded = conversation.recorded_end_of(position=position)
        key = conversation.begin_execution(call, kind="cell", position=position)
        self._cells += 1
        # If cells run at several depths at the same time, the page shows the root's.
        shown_live = self._run.live.cell(key) if conversation.kind == "root" else nullcontext(CellSoFar(key))
        with shown_live as cell:
            result = self._run.wait_for(self._thread.submit(self._execute, code, cell=cell))
        self._run.control.check()
        if recorded is not None:
            shown = self._replay_cell(recorded, result, conversation)
        else:
            self.answer = result.answer
            shown = self._record_end(result, key=key)
        conversation.add_result(call, shown)

    def close(self) -> None:
        """Closes the sandbox, which ends a running cell and its thread."""
        self._sandbox.close()
        self._thread.join()

    def _code_of(self, call: ToolCall) -> str:
        if call.name != self._rules.tool_name:
            raise BadCall(
                f"there is no tool {call.name!r}; there is {', '.join([self._rules.tool_name, *self._beside])}"
            )
        code = arguments_of(call, required=["code"])["code"]
        if not isinstance(code, str):
            raise BadCall(f"code must be a string, not {json.dumps(code)[:100]}")
        return code

    def _execute(self, code: str, *, cell: CellSoFar) -> CellResult:
        self._run_functions()
        result = self._execute_cell(code, cell=cell)
        self._functions_due = result.state_lost and bool(self._rules.functions)
        return result

    def _execute_cell(self, code: str, *, cell: CellSoFar) -> CellResult:
        server, limit = self._server, self._rules.time_limit
        if server is None:
            return self._sandbox.execute(code, time_limit=limit, on_output=cell.output.add)

        def serve(batch: Batch) -> None:
            cell.batches.append(batch)
            server.serve(batch, parent=cell.key, number=len(cell.batches) - 1)

        try:
            return self._sandbox.execute(code, time_limit=limit, on_batch=serve, on_output=cell.output.add)
        finally:
            server.abandon(cell.key)

    def _run_functions(self) -> None:
        if not self._functions_due:
            return
        result = self._sandbox.execute(self._rules.functions, time_limit=self._rules.time_limit)
        self._run.control.check()
        if result.error is not None:
            told = result.error.traceback.strip() or f"{result.error.type}: {result.error.message}"
            raise FunctionsFailed(f"the functions of the scaffold's settings failed in the REPL: {told}")
        self._functions_due = False

    def _replay_cell(self, recorded: ExecutionEnded, result: CellResult, conversation: Conversation) -> str:
        """Returns the recorded text of a cell. The cell ran to restore the REPL, and its result is compared with
        the recording.
        """
        self._run.replay.compare_cell(
            recorded,
            result,
            output=whole_text(result, number=self._cells),
            depth=conversation.depth,
            turn=conversation.turns,
            cell=self._cells,
        )
        self.answer = result.answer
        if recorded.answer is not None:
            self.answer = Answer(recorded.answer, bool(recorded.ready))
        return recorded.shown

    def _record_end(self, result: CellResult, *, key: int) -> str:
        shown, cut = shown_text(
            result, number=self._cells, limit=self._rules.output_limit, time_limit=self._rules.time_limit
        )
        whole = whole_text(result, number=self._cells)
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
                answer=result.answer.content if self._answers else None,
                ready=result.answer.ready if self._answers else None,
                repairs=result.repairs,
                variables=[asdict(variable) for variable in result.variables],
            )
        )
        return shown
