"""Forking by page and by API: the form edits what is stored, and the tree shows what became of it."""

from __future__ import annotations

import json

import pytest

from rlm_runs.analysis import transcripts
from rlm_runs.execution import forks
from rlm_runs.experiments.forking import ForkRequest, create_fork
from rlm_runs.models import Experiment, Fork, Rollout, SharedLink, Trajectory


@pytest.fixture
def origin(played):
    """A rollout with a turn, a cell and sub-calls."""
    return (
        played.rollouts().filter(arm__scaffold="rlm", status="completed", sub_calls__gt=0).order_by("pk").first()
    )


def form_address(rollout, turn=1):
    return f"/rollouts/{rollout.pk}/fork/?turn={turn}&attempt={rollout.attempt}"


def given(reader, rollout, turn=1):
    """The form as a browser returns it, untouched."""
    form = reader.get(form_address(rollout, turn)).context["form"]
    texts = [text for text in (form.message, form.code, *(text for _, text in form.calls)) if text]
    inputs = {each.name: each.value for each in (*texts, *form.settings, *form.sampling)}
    return {
        **{name: value.replace("\n", "\r\n") for name, value in inputs.items()},
        "model": form.model,
        "sub_model": form.sub_model,
        "hold": form.hold,
    }


def test_an_untouched_form_edits_nothing(reader, origin):
    response = reader.post(form_address(origin), given(reader, origin))
    fork = Fork.objects.get()
    assert response.url == f"/rollouts/{fork.rollout_id}/"
    assert (fork.origin, fork.turn, fork.edited, fork.author) == (origin, 1, [], "ada")
    assert fork.edit == {"message": None, "code": None, "answers": None}
    row = fork.rollout
    assert (row.status, row.attempt, row.cut_off, row.repetition) == ("queued", 1, True, 0)
    assert row.arm.experiment.forks_of == origin.arm.experiment
    assert transcripts.root_of(row, attempt=1).turns.count() == 1


def test_what_is_edited_is_stored_and_shown(reader, origin):
    data = given(reader, origin) | {
        "message": "I think\nagain.<script>",
        "set-max_turns": "3",
        "sampling-temperature": "0.5",
        "hold": "always",
    }
    page = reader.post(form_address(origin), data, follow=True).content.decode()
    fork = Fork.objects.get()
    assert fork.edit["message"] == "I think\nagain.<script>"
    assert (fork.changes["max_turns"], fork.changes["temperature"], fork.hold) == (3, 0.5, "always")
    assert f"Origin {origin.pk}" in page
    assert "after turn 1" in page
    assert "message, max_turns = 3, temperature = 0.5" in page
    assert "again.&lt;script&gt;" in page
    assert f"Fork {fork.rollout_id}" in reader.get(f"/rollouts/{origin.pk}/").content.decode()


def test_what_is_wrong_is_said_and_nothing_is_written(reader, origin):
    response = reader.post(form_address(origin), given(reader, origin) | {"set-max_turns": "many"})
    assert response.status_code == 422
    assert "max_turns" in response.content.decode()
    assert reader.get(form_address(origin, turn=99)).status_code == 404
    assert reader.post(form_address(origin), given(reader, origin) | {"model": "nobody"}).status_code == 422
    assert not Fork.objects.exists()
    assert not Experiment.everything.exclude(forks_of=None).exists()


def test_forks_of_forks_make_a_tree(reader, origin):
    one = create_fork(origin, ForkRequest(turn=1))
    two = create_fork(one, ForkRequest(turn=1, code="1 + 1"))
    three = create_fork(origin, ForkRequest(turn=1))
    for rollout in (origin, one, two, three):
        told = reader.get(f"/api/rollouts/{rollout.pk}/forks/").json()["tree"]
        assert [(each["rollout"], each["origin"]) for each in told] == [
            (origin.pk, None),
            (one.pk, origin.pk),
            (two.pk, one.pk),
            (three.pk, origin.pk),
        ]
        assert reader.get(f"/rollouts/{rollout.pk}/").content.decode().count("data-depth=") == 4
    assert len({one.repetition, three.repetition}) == 2
    assert Experiment.everything.exclude(forks_of=None).count() == 1


def test_a_fork_waits_for_its_reader(reader, origin):
    rollout = create_fork(origin, ForkRequest(turn=1))
    assert reader.post(f"/api/rollouts/{rollout.pk}/forks/continue/").status_code == 409
    hostile = {"what": "printed something else", "recorded": "<b>\x1b[31m", "now": "<i>", "depth": 0, "turn": 1}
    Fork.objects.filter(pk=rollout.pk).update(differences=[hostile | {"cell": 1}])
    Rollout.objects.filter(pk=rollout.pk).update(status="running", worker="w", claims=1)
    rollout.refresh_from_db()
    forks.hold(rollout)
    page = reader.get(f"/rollouts/{rollout.pk}/").content.decode()
    assert "1 difference in the rebuilt REPL" in page
    assert "Continue anyway" in page
    assert "<b>" not in page.split('id="held-title"')[1].split("</section>")[0]
    assert "\x1b" not in page
    assert reader.post(f"/rollouts/{rollout.pk}/fork/continue/").url == f"/rollouts/{rollout.pk}/"
    rollout.refresh_from_db()
    assert (rollout.status, rollout.stop_reason, rollout.cut_off) == ("queued", "", True)
    assert Fork.objects.get().hold == "never"


def test_the_api_forks(reader, origin):
    address = f"/api/rollouts/{origin.pk}/forks/"
    call = Trajectory.objects.filter(rollout=origin, kind="sub").select_related("parent__turn").first()
    place = {"execution": call.parent.position, "batch": call.batch, "position": call.position}
    body = {
        "turn": call.parent.turn.index + 1,
        "answers": [place | {"answer": "edited"}],
        "settings": {"max_turns": 9},
    }
    made = reader.post(address, json.dumps(body), content_type="application/json")
    assert made.status_code == 201, made.content
    fork = Fork.objects.get(pk=made.json()["rollout"])
    assert fork.edit["answers"] == [place | {"answer": "edited"}]
    assert fork.changes == {"max_turns": 9}
    edited = Trajectory.objects.get(rollout=fork.rollout, kind="sub", batch=call.batch, position=call.position)
    assert edited.answer.body == "edited"
    for wrong in ({}, {"turn": 0}, {"turn": 77}, {"turn": 1, "what": 1}, {"turn": 1, "settings": {"nothing": 1}}):
        refused = reader.post(address, json.dumps(wrong), content_type="application/json")
        assert (refused.status_code, "error" in refused.json()) == (422, True), wrong
    assert reader.post(address, "{", content_type="application/json").status_code == 422
    assert Fork.objects.count() == 1


def test_readers_of_a_shared_link_see_no_forks(client, origin, ada):
    create_fork(origin, ForkRequest(turn=1))
    link = SharedLink(path=f"/rollouts/{origin.pk}/", kind="rollout", rollout=origin, created_by=ada)
    link.save()
    page = client.get(f"/s/{link.token}/rollouts/{origin.pk}/")
    assert page.status_code == 200
    assert "data-depth=" not in page.content.decode()
    assert "/fork/" not in page.content.decode()
