"""What a running rollout shows of itself."""

from __future__ import annotations

import time

from rlm_runs.engine.live import KEPT_CHARS, GrowingText, LiveBoard
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from sandbox.contract import Batch
from tests.engine.riddle import DONE, is_sub, steps
from tests.scripted_server import Streamed, cell, completion, event


def test_a_growing_text_keeps_its_end_and_counts_all():
    text, whole = GrowingText(), ""
    for number in range(3000):
        piece = f"{number} " * 5
        whole += piece
        text.add(piece)
    assert (text.end(), text.chars) == (whole[-KEPT_CHARS:], len(whole))
    text.add("x" * 3 * KEPT_CHARS)
    assert text.end() == "x" * KEPT_CHARS


def test_pieces_cost_the_same_however_long_the_text_is():
    text, began = GrowingText(), time.monotonic()
    for _ in range(500_000):
        text.add("abc ")
    assert time.monotonic() - began < 5
    assert text.chars == 2_000_000


def test_a_board_shows_a_turn_and_a_cell_while_they_last():
    board = LiveBoard()
    assert board.state() == {}
    with board.turn("root", 3) as turn:
        turn.add(content="a", arguments="{")
        turn.add(content="b")
        state = board.state()["turn"]
        assert (state["kind"], state["index"], state["content"]) == ("root", 3, {"chars": 2, "end": "ab"})
        assert "reasoning" not in state
        turn.restart()
        assert "content" not in board.state()["turn"]
    with board.cell(7) as running:
        running.output.add("hello")
        batch = Batch(prompts=["a", "b"], send_answer=lambda *_: None, send_finish=lambda _: None)
        running.batches.append(batch)
        batch.answer(0, "x")
        state = board.state()["cell"]
        assert (state["key"], state["output"]["end"], state["calls"], state["answered"]) == (7, "hello", 2, 1)
    assert board.state() == {}


def test_a_rollout_shows_its_turns_and_cells_and_counts_sub_calls(play):
    """The board is read from the server's threads, while the rollout waits for them."""
    board, seen = LiveBoard(), []

    def script(request):
        if is_sub(request):
            time.sleep(0.2)
            seen.append(board.state())
            return completion("x")
        return answers(request)

    def root():
        yield event({"content": "Well, "})
        yield 0.2
        seen.append(board.state())
        yield event({"content": "done."}, finish="stop")

    answers = steps(cell("print('before', flush=True); import time; time.sleep(0.3); llm_batch(['a', 'b'])"), DONE)
    play(script, settings=RlmSettings(), live=board)
    states = [state["cell"] for state in seen]
    assert all("turn" not in state for state in seen)
    assert {state["calls"] for state in states} == {2}
    assert [state["answered"] for state in states] in ([0, 0], [0, 1])
    assert all(state["output"]["end"].startswith("before\n") for state in states)
    assert board.state() == {}

    seen.clear()
    play(lambda _: Streamed(root()), settings=RlmSettings(max_turns=1), live=board, stream=True)
    assert seen[0]["turn"]["content"]["end"] == "Well, "
    assert seen[0]["turn"]["kind"] == "root"
