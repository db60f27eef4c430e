"""A fork has the recorded prefix of its origin, bit by bit, and continues live from its edit."""

from __future__ import annotations

import pytest

from rlm_runs.engine import events as e
from rlm_runs.engine.forks import BadFork, Edit, Place, fork
from rlm_runs.engine.recording import Recording
from tests.engine.riddle import ended, is_sub, of
from tests.engine.test_resume import CELLS, script
from tests.scripted_server import completion


def root_requests(play):
    return [request for request in play.requests if not is_sub(request)]


def test_without_an_edit_it_goes_on_behind_the_turn(play):
    told = play(script)
    whole = root_requests(play)
    for turn in (1, 2, 5, len(CELLS)):
        after = play(script, recording=fork(Recording.of(told), turn=turn))
        requests = root_requests(play)
        assert len(requests) == len(CELLS) + 1 - turn
        assert requests[0]["messages"] == whole[turn]["messages"]
        assert ended(after).answer == "42"


def test_an_edited_cell_runs_in_the_state_before_it(play):
    told = play(script)
    whole = root_requests(play)
    recording = fork(Recording.of(told), turn=3, edit=Edit(code="print(total, said)", message="I look again."))
    after = play(script, recording=recording)
    first = of(after, e.ExecutionEnded)[0]
    assert first.output == "3 ['A', 'B', 'C']\n"
    messages = root_requests(play)[0]["messages"]
    assert messages[:6] == whole[3]["messages"][:6]  # to the edited turn, bit by bit
    assert messages[6]["content"] == "I look again."
    assert messages[7]["content"].startswith("3 ['A', 'B', 'C']")
    assert ended(after).answer == "42"


def test_an_edited_message_keeps_what_its_cells_showed(play):
    told = play(script)
    whole = root_requests(play)
    play(script, recording=fork(Recording.of(told), turn=3, edit=Edit(message="Hm.")))
    messages = root_requests(play)[0]["messages"]
    assert [message["content"] for message in messages] == [
        "Hm." if number == 6 else message["content"] for number, message in enumerate(whole[3]["messages"])
    ]


def test_an_edited_answer_reaches_the_cell_that_asked(play):
    told = play(script)
    edit = Edit(answers={Place(execution=0, batch=0, position=1): "edited"})
    after = play(script, recording=fork(Recording.of(told), turn=2, edit=edit))
    cell = next(event for event in of(after, e.ExecutionEnded) if "edited" in event.output)
    assert "['A', 'edited', 'C']" in cell.output
    asked = {request["messages"][1]["content"] for request in play.requests if is_sub(request)}
    assert asked == {"4", "e"}  # those of the later batch alone


def test_the_recorded_part_costs_nothing(play):
    told = play(script)
    recording = fork(Recording.of(told), turn=4)
    assert recording.spent.dollars == 0
    assert recording.spent.tokens > 0
    assert recording.turns == 4


@pytest.mark.parametrize(
    ("turn", "edit", "said"),
    [
        (0, Edit(), "there is no turn 0"),
        (8, Edit(), "there is no turn 8"),
        (1, Edit(answers={Place(0, 0, 0): "x"}), "turn 1 has no call"),
    ],
)
def test_what_cannot_be_forked_says_so(play, turn, edit, said):
    told = play(script)
    with pytest.raises(BadFork, match=said):
        fork(Recording.of(told), turn=turn, edit=edit)


def test_a_turn_without_a_cell_has_none_to_edit(play):
    told = play(lambda request: completion("I would rather talk."))
    with pytest.raises(BadFork, match="turn 1 has no cell"):
        fork(Recording.of(told), turn=1, edit=Edit(code="1"))
