"""The panel of a running rollout: what its model writes and its cell prints at this moment."""

from __future__ import annotations

import json

import pytest
from django.db.models.functions import Now

from dashboard.replay.now import code_so_far
from rlm_runs.models import LiveView, Rollout

CODE = 'print("a\\n", \'é\', "\U0001d11e")\nfor x in range(3):\n\tpass  # {"code": "not this"}'


@pytest.fixture
def running(played):
    rollout = Rollout.objects.filter(arm__scaffold="rlm", status="completed").first()
    Rollout.objects.filter(pk=rollout.pk).update(status="running", finished_at=None)
    rollout.refresh_from_db()
    return rollout


def now(reader, rollout, *, step=None, **state):
    LiveView.objects.watch(rollout)
    LiveView.objects.filter(pk=rollout.pk).update(state=state, attempt=rollout.attempt, written_at=Now())
    return reader.get(f"/rollouts/{rollout.pk}/now/", {} if step is None else {"step": step})


def text(end, chars=None):
    return {"end": end, "chars": chars or len(end)}


def test_a_turn_so_far_is_shown_escaped(reader, running):
    turn = {"kind": "root", "index": 2, "seconds": 12.3, "content": text("<script>alert(1)</script>\x1a0000")}
    page = now(reader, running, turn=turn | {"arguments": text('{"code": "x = 1\\ny')}).content.decode()
    assert "Turn 3" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "x = 1\ny</pre>" in page
    assert "12 s" in page
    assert 'hx-trigger="every 1s"' in page


def test_a_cell_so_far_is_shown_with_its_sub_calls(reader, running):
    cell = {"key": 1, "seconds": 3.0, "calls": 38, "answered": 14, "output": text("step 7\n", 12_000)}
    page = now(reader, running, cell=cell).content.decode()
    assert "14 of 38 sub-calls answered" in page
    assert "step 7" in page
    assert "12,000 characters of output" in page


def test_when_the_step_changes_the_page_is_told(reader, running):
    turn = {"kind": "root", "index": 0, "seconds": 1.0}
    assert "HX-Trigger" not in now(reader, running, step="root-0", turn=turn).headers
    moved = now(reader, running, step="root-0", turn=turn | {"index": 1})
    assert moved.headers["HX-Trigger"] == "rollout-moved"
    assert now(reader, running, step="root-1").headers["HX-Trigger"] == "rollout-moved"


def test_long_texts_stay_small(reader, running):
    turn = {"kind": "root", "index": 0, "seconds": 1.0}
    long = {name: text("&" * 20_000) for name in ("content", "reasoning", "arguments")}
    assert len(now(reader, running, turn=turn | long).content) < 100_000


def test_what_has_ended_asks_no_more(reader, played):
    ended = Rollout.objects.filter(status="completed").first()
    assert "live" not in reader.get(f"/api/rollouts/{ended.pk}/").json()
    page = reader.get(f"/rollouts/{ended.pk}/now/").content.decode()
    assert "hx-get" not in page
    assert not LiveView.objects.exists()


def test_the_page_of_a_running_rollout_has_the_panel(reader, running):
    page = reader.get(running.get_absolute_url()).content.decode()
    assert f'hx-get="/rollouts/{running.pk}/now/' in page


def test_the_api_has_the_same(reader, running):
    now(reader, running, turn={"kind": "root", "index": 0, "seconds": 1.0, "content": text("a\x1a0000")})
    live = reader.get(f"/api/rollouts/{running.pk}/").json()["live"]
    assert live["turn"]["content"]["end"] == "a\x00"


@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_code_is_read_from_any_part_of_its_arguments(ascii_only):
    arguments = json.dumps({"code": CODE}, ensure_ascii=ascii_only)
    begin = len('{"code": "')
    for end in range(begin, len(arguments) + 1):
        shown = code_so_far(arguments[:end])
        assert CODE.startswith(shown.rstrip("\ud834"))
    assert code_so_far(arguments) == CODE
    assert code_so_far(arguments + '{"code": "second') == "second"


@pytest.mark.parametrize("arguments", ["", "{", '{"query": "x"', '{"code": 1'])
def test_other_arguments_are_shown_as_they_are(arguments):
    assert code_so_far(arguments) == arguments
