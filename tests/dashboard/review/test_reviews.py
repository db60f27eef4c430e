"""Notes, tags and manual scores: beside the reward, filtered, exported, and hidden from shared links."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from rlm_runs.models import Comment, ManualScore, Rollout, RolloutTag, SharedLink
from tests.factories.traces import HOSTILE, play_llm, play_rlm


@pytest.fixture
def rollouts(queued):
    found = list(queued.rollouts().select_related("arm", "example").order_by("pk")[:4])
    for rollout in found:
        (play_rlm if rollout.arm.scaffold.startswith("rlm") else play_llm)(rollout)
    return found


def post(reader, rollout, action, **fields):
    return reader.post(reverse("rollout-notes", args=[rollout.pk]), {"action": action, **fields})


def ids(reader, q):
    return {row["id"] for row in reader.get("/api/rollouts/", {"q": q}).json()["rows"]}


def html(reader, address, data=None):
    response = reader.get(address, data)
    assert response.status_code == 200
    return response.content.decode()


def test_a_comment_on_a_moment_leads_back_to_it(reader, rollouts):
    rollout = next(found for found in rollouts if found.cells)
    root = rollout.trajectories.get(kind="root")
    call = rollout.trajectories.filter(kind="sub").first()
    cell = root.turns.get(index=1).executions.get()
    range_ = {"part": "arguments", "start": 7, "end": 9, "quote": "re"}
    assert post(reader, rollout, "comment", body="why?", turn=2, cell=cell.pk, **range_).status_code == 302
    assert post(reader, rollout, "comment", body="wrong", call=call.pk, turn=1).status_code == 302
    first, second = rollout.comments.all()
    assert (first.trajectory, first.turn, first.execution, first.start, first.end) == (root, 2, cell, 7, 9)
    assert (second.trajectory, second.author_name) == (call, "ada")
    page = html(reader, reverse("rollout-notes", args=[rollout.pk]))
    assert f'href="{rollout.get_absolute_url()}?attempt=1&amp;from=1#turn-2"' in page
    assert f"#call-{call.pk}-turn-1" in page
    assert "why?" in html(reader, reverse("rollout-notes", args=[rollout.pk]), {"list": ""})


@pytest.mark.parametrize(
    "fields",
    [
        {"body": ""},
        {"body": "x", "turn": 99},
        {"body": "x", "cell": 1},
        {"body": "x", "turn": 1, "cell": 10**9},
        {"body": "x", "turn": 1, "call": 10**9},
        {"body": "x", "turn": 1, "part": "nothing"},
        {"body": "x", "turn": 1, "start": 5, "end": 5},
        {"body": "x", "turn": 1, "start": 5},
    ],
)
def test_a_moment_that_is_not_there_is_refused(reader, rollouts, fields):
    assert post(reader, rollouts[0], "comment", **fields).status_code == 422
    assert not Comment.objects.exists()


def test_a_moment_of_another_rollout_is_refused(reader, rollouts):
    foreign = rollouts[1].trajectories.first()
    assert post(reader, rollouts[0], "comment", body="x", turn=1, call=foreign.pk).status_code == 422


def test_a_score_stands_beside_the_reward_with_its_history(reader, client, rollouts):
    rollout = rollouts[0]
    before = rollout.reward
    post(reader, rollout, "score", score="0.25", reason="half read")
    post(reader, rollout, "score", score="0.5", reason="read again")
    client.force_login(User.objects.create(username="grace"))
    post(client, rollout, "score", score="1")
    for wrong in ("1.1", "-1", "nan", "inf", "x", ""):
        assert post(client, rollout, "score", score=wrong).status_code == 422
    rollout.refresh_from_db()
    assert rollout.reward == before
    given = list(ManualScore.objects.order_by("pk").values_list("author_name", "score", "is_current"))
    assert given == [("ada", 0.25, False), ("ada", 0.5, True), ("grace", 1.0, True)]
    page = html(client, reverse("rollout-notes", args=[rollout.pk]))
    assert "half read" in page
    assert "replaced" in page
    rows = client.get("/api/rollouts/", {"q": f"#{rollout.pk}", "columns": "id,reward,manual,tags,notes"}).json()
    assert rows["rows"] == [{"id": rollout.pk, "reward": before, "manual": 0.75, "tags": "", "notes": 0}]


def test_reviews_are_filtered(reader, rollouts):
    one, two, *_ = rollouts
    post(reader, one, "comment", body="It never READ the context")
    post(reader, one, "tag", name="good example")
    post(reader, two, "tag", name="odd")
    post(reader, one, "score", score="0.75")
    post(reader, two, "score", score="0.25")
    everything = set(Rollout.objects.values_list("pk", flat=True))
    for q, found in (
        ('note:"read the"', {one.pk}),
        ("note:*", {one.pk}),
        ("note:none", everything - {one.pk}),
        ("-note:read", everything - {one.pk}),
        ("note:100%", set()),
        ('tag:"good example"', {one.pk}),
        ("tag:o*", {two.pk}),
        ("tag:none", everything - {one.pk, two.pk}),
        ("-tag:odd", everything - {two.pk}),
        ("manual:>0.5", {one.pk}),
        ("manual:0.25", {two.pk}),
        ("manual:none", everything - {one.pk, two.pk}),
        ("-manual:>0.5", everything - {one.pk}),
        ("reviewed_by:ada", {one.pk, two.pk}),
        ("reviewed_by:grace", set()),
        ("reviewed_by:none tag:none", everything - {one.pk, two.pk}),
    ):
        assert ids(reader, q) == found, q
    assert reader.get("/api/rollouts/", {"q": "manual:x"}).status_code == 400
    options = reader.get("/api/filters/complete", {"q": "tag:", "at": 4}).json()["options"]
    assert [option["text"] for option in options] == ['tag:"good example"', "tag:odd"]


def test_reviews_are_exported(reader, rollouts):
    one, two, *_ = rollouts
    post(reader, one, "comment", body="a note", turn=1, part="content", start=0, end=3, quote="the")
    post(reader, one, "tag", name="odd")
    post(reader, two, "score", score="0.5", reason="so so")
    rows = reader.get("/api/reviews/").json()["rows"]
    assert [row["rollout"] for row in rows] == [one.pk, two.pk]
    assert rows[0]["comments"][0]["range"] == [0, 3]
    assert rows[0]["tags"][0]["name"] == "odd"
    assert rows[1]["manual_scores"][0]["reason"] == "so so"
    page = reader.get("/api/reviews/", {"limit": 1}).json()
    assert page["next"] == one.pk
    assert [row["rollout"] for row in reader.get("/api/reviews/", {"from": one.pk}).json()["rows"]] == [two.pk]
    assert [row["rollout"] for row in reader.get("/api/reviews/", {"q": "tag:odd"}).json()["rows"]] == [one.pk]
    lines = b"".join(reader.get("/rollouts.csv", {"q": "tag:odd", "columns": "id,tags,notes"})).decode().split()
    assert lines == ["id,tags,notes", f"{one.pk},odd,1"]


def test_the_queue_is_blind_until_the_score_is_given(reader, rollouts):
    Rollout.objects.update(reward=0.123)
    rollouts[0].arm.experiment.arms.update(model="secret-model")
    address = reverse("review")
    seen = []
    for _ in rollouts:
        page = html(reader, address, {"q": "status:completed"})
        assert "secret-model" not in page.split("Scored")[0]
        for hidden in ("0.12", "scaffold-rlm", "scaffold-llm", "/rollouts/"):
            assert hidden not in page.split('class="line score-bar"')[1], hidden
        pk = int(page.split('name="rollout" value="')[1].split('"')[0])
        assert pk not in seen
        seen.append(pk)
        fields = {"rollout": pk, "score": "0.5", "q": "status:completed", "blind": "1"}
        response = reader.post(address, fields, follow=True)
        told = response.content.decode()
        assert "secret-model" in told
        assert "0.12" in told
    assert "Nothing to review" in told
    assert ManualScore.objects.filter(is_blind=True, is_current=True).count() == len(rollouts)


def test_the_list_leads_to_the_queue_with_its_filter(reader, rollouts):
    page = html(reader, "/rollouts/", {"q": "scaffold:rlm reward:<1"})
    assert f'href="{reverse("review")}?q=scaffold%3Arlm%20reward%3A%3C1"' in page


def test_the_queue_skips_and_shows(reader, rollouts):
    address = reverse("review")
    page = html(reader, address, {"blind": "0", "q": "scaffold:rlm"})
    assert "scaffold-rlm" in page
    first = page.split('name="rollout" value="')[1].split('"')[0]
    skipped = html(reader, address, {"q": f"#{first}", "skip": first})
    assert "Nothing to review" in skipped
    assert (
        "A score is a number"
        in reader.post(address, {"rollout": first, "score": "7", "q": ""}, follow=True).content.decode()
    )
    assert not ManualScore.objects.exists()
    assert "there is no key" in html(reader, address, {"q": "nothing:1"})
    assert reader.post(address, {"rollout": "0", "score": "1"}).status_code == 404


def test_only_its_author_or_staff_removes_a_comment(reader, client, rollouts):
    post(reader, rollouts[0], "comment", body="mine")
    comment = Comment.objects.get()
    client.force_login(User.objects.create(username="grace"))
    assert post(client, rollouts[0], "remove-comment", id=comment.pk).status_code == 403
    assert post(client, rollouts[1], "remove-comment", id=comment.pk).status_code == 404
    assert post(client, rollouts[0], "remove-comment", id="x").status_code == 400
    assert post(client, rollouts[0], "nothing").status_code == 400
    client.force_login(User.objects.create(username="chief", is_staff=True))
    assert post(client, rollouts[0], "remove-comment", id=comment.pk).status_code == 302
    assert not Comment.objects.exists()


def test_hostile_text_is_shown_as_text(reader, rollouts):
    text = HOSTILE.replace("\x00", "").replace("\ud800", "")
    post(reader, rollouts[0], "comment", body=text, turn=1, quote=text)
    post(reader, rollouts[0], "tag", name="<script>")
    post(reader, rollouts[0], "score", score="1", reason=text)
    for page in (
        html(reader, reverse("rollout-notes", args=[rollouts[0].pk])),
        html(reader, reverse("rollout-notes", args=[rollouts[0].pk]), {"list": ""}),
        html(reader, "/rollouts/", {"columns": "id,tags"}),
    ):
        assert "<script>alert" not in page
        assert "<script><" not in page
        assert "\u202e" not in page


def test_readers_of_a_shared_link_see_no_reviews(client, reader, rollouts):
    rollout = rollouts[0]
    post(reader, rollout, "comment", body="internal")
    post(reader, rollout, "tag", name="odd")
    experiment = rollout.arm.experiment
    link = SharedLink.objects.create(kind="experiment", path=experiment.get_absolute_url(), experiment=experiment)
    client.logout()
    base = f"/s/{link.token}"
    rows = f"{base}/api/experiments/{experiment.slug}/rollouts/"
    assert client.get(rows).status_code == 200
    for query in ({"q": "note:internal"}, {"q": "-TAG:odd"}, {"columns": "id,tags"}, {"sort": "-notes"}):
        assert client.get(rows, query).status_code == 404, query
    for path in (reverse("rollout-notes", args=[rollout.pk]), reverse("review"), "/api/reviews/"):
        assert client.get(base + path).status_code == 404
    told = client.get(f"{base}/api/rollouts/{rollout.pk}/").content.decode()
    assert "odd" not in told
    assert '"tags"' not in told
    page = client.get(f"{base}{rollout.get_absolute_url()}").content.decode()
    assert "/notes/" not in page


def test_a_deleted_account_leaves_its_name(reader, ada, rollouts):
    post(reader, rollouts[0], "comment", body="still here")
    post(reader, rollouts[0], "score", score="1")
    RolloutTag.objects.create(rollout=rollouts[0], name="x", author=ada, author_name="ada")
    ada.delete()
    assert Comment.objects.get().author_name == "ada"
    assert ManualScore.objects.get().author_name == "ada"
