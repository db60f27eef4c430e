"""What fills the launch form: presets, earlier experiments, drafts and files; and the preview beside it."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from dashboard.launch.clone import form_of
from dashboard.launch.form import spec_of
from dashboard.launch.preview import preview
from dashboard.launch.toml_file import as_toml
from rlm_runs.execution import queue
from rlm_runs.experiments.launch import launch
from rlm_runs.experiments.launch_check import ModelCheck
from rlm_runs.experiments.plan import resolve
from rlm_runs.experiments.presets import presets
from rlm_runs.models import Experiment, LaunchDraft, Rollout, WorkerProcess

SPEC = {
    "name": "x",
    "examples": 2,
    "models": ["demo-model"],
    "scaffolds": ["llm", {"name": "rlm", "cell_time_limit": 120}, {"name": "rlm", "cell_time_limit": 300}],
    "environments": [{"name": "oolong", "labels": True}],
}
FORM = {"name": "x", "examples": "1", "models": "demo-model", "scaffolds": "llm", "environments": "oolong"}
CROSSED = SPEC | {"scaffolds": [{"name": "rlm", "depth": 0, "max_turns": 5}, {"name": "rlm", "depth": 1}]}


@pytest.fixture(autouse=True)
def no_messages(db, monkeypatch):
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)


def fields(html):
    return dict(re.findall(r'<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"', html))


def dropped(reader, text):
    file = SimpleUploadedFile("spec.toml", text.encode())
    return reader.post("/launch/file/", {"file": file}).content.decode()


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: preset.name)
def test_the_form_says_the_same_as_each_preset(preset, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    data = form_of(preset.spec)
    assert data is not None
    made = [resolve(spec).arms for spec in (preset.spec, spec_of(data))]
    assert [len(arms) for arms in made] == [preset.arms] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seed": 3, "repetitions": 2, "description": "why?", "sub_model": "gpt-5-nano"},
        {"early_stopping": {"method": "betting", "alpha": 0.1, "baseline": "llm"}},
        {"early_stopping": {}},
        {"budget": {"dollars": 12.5, "hours": 8.0}},
        {"environments": [{"name": "verbatim-copy", "mean_fragment_length": "none"}]},
        {"examples": "many", "environments": ["nothing"]},
    ],
)
def test_the_form_shows_a_spec(changes):
    data = form_of(SPEC | changes)
    assert data is not None
    assert form_of(spec_of(data)) == data


@pytest.mark.parametrize(
    "changes",
    [
        {"scaffolds": CROSSED["scaffolds"]},
        {"models": [{"name": "demo-model", "sub_model": "gpt-5-nano"}]},
        {"sampling": {"extra_body": {"a": 1}}},
        {"sampling": {"temperature": 0.5}, "models": ["demo-model", {"name": "gpt-5", "temperature": 0.7}]},
        {"environments": [{"name": "oolong", "speed": 1}]},
        {"scaffolds": "llm"},
        {"scaffolds": [3]},
        {"budget": 5},
        {"unknown": 1},
    ],
)
def test_what_the_form_cannot_show_is_not_dropped(changes):
    assert form_of(SPEC | changes) is None


def test_a_preset_fills_the_form_with_a_model_that_can_be_reached(reader, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    html = reader.get("/launch/?preset=verbatim-content").content.decode()
    assert "gpt-5-mini cannot be reached: set OPENAI_API_KEY" in html
    assert 'value="demo-model" checked' in html
    assert fields(html)["environments.verbatim-copy.content_type"] == "words, json, csv, codes, mixed, all"
    assert "<dt>Arms</dt><dd>18<" in html
    generated = reader.get("/launch/?preset=oolong-subsets&generated").content.decode()
    assert fields(generated)["environments.oolong.subset"] == "generated"
    assert reader.get("/launch/?preset=nothing").status_code == 404


def test_a_file_fills_the_form_and_its_problems_stand_beside_their_fields(reader):
    html = dropped(reader, as_toml(SPEC | {"examples": 0}))
    assert fields(html)["scaffolds.rlm.cell_time_limit"] == "120, 300"
    beside = dict(re.findall(r'data-problem="([^"]+)"><span class="error">([^<]+)<', html))
    assert beside == {"examples": "must be a whole number from 1 to 100,000, not 0"}
    html = dropped(reader, as_toml(SPEC | {"environments": [{"name": "oolong", "subset": "sinth"}]}))
    assert "must be one of generated, local, synth, synth_with_labels, real, not &#x27;sinth&#x27;" in html
    assert "(did you mean synth?)" in html


def test_a_file_that_the_form_cannot_show_is_edited_and_launched_as_toml(reader):
    text = as_toml(CROSSED | {"sampling": {"temprature": 1}})
    html = dropped(reader, text)
    assert '<textarea id="toml-text"' in html
    assert "unknown setting &#x27;temprature&#x27; (did you mean temperature?)" in html
    form = {"mode": "toml", "toml": as_toml(CROSSED)}
    assert reader.post("/launch/", form).status_code == 302
    assert [arm.scaffold_settings["depth"] for arm in Experiment.objects.get().arms.all()] == [0, 1]
    back = reader.post("/launch/", form | {"do": "form"}).content.decode()
    assert "cannot show" in back
    there = reader.post("/launch/", {"do": "toml", "name": "x", "scaffolds": "llm"}).content.decode()
    assert "scaffolds = [&quot;llm&quot;]" in there


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name =\nx = 1", "not valid TOML, line 1, column 7: invalid value"),
        ("name = [", "not valid TOML: invalid value (at end of document)"),
        ("scaffolds = 3\nmodels = 7", "scaffolds</a>: <span>must be a list, not 3"),
        ("unknown = 1", "name</a>: <span>is missing"),
    ],
)
def test_a_file_with_problems_is_told_in_plain_words(reader, text, said):
    html = dropped(reader, text)
    assert said in html
    assert "pydantic" not in html
    assert "nput should be" not in html


def test_a_file_that_is_none_is_refused(reader):
    assert reader.post("/launch/file/").status_code == 400
    assert dropped(reader, "\x00\ufffd")


def test_drafts_are_kept_listed_resumed_and_deleted_by_their_user_only(reader, client):
    form = {"name": "half <done>", "examples": "", "environments": "oolong", "environments.oolong.labels": "yes"}
    resumed = reader.post("/launch/drafts/", form).url
    draft = LaunchDraft.objects.get()
    assert (draft.name, resumed) == ("half <done>", f"/launch/?draft={draft.pk}")
    html = reader.get(resumed).content.decode()
    assert (fields(html)["name"], fields(html)["examples"]) == ("half &lt;done&gt;", "")
    assert 'value="oolong" checked' in html
    assert f'name="draft" value="{draft.pk}"' in html
    assert f"?draft={draft.pk}" in reader.get("/launch/").content.decode()
    reader.post("/launch/drafts/", form | {"draft": draft.pk, "name": ""})
    assert [each.name for each in LaunchDraft.objects.all()] == [""]
    client.force_login(User.objects.create(username="grace"))
    assert client.get(resumed).status_code == 404
    assert client.post(f"/launch/drafts/{draft.pk}/delete/").status_code == 404
    client.force_login(User.objects.get(username="ada"))
    assert client.post(f"/launch/drafts/{draft.pk}/delete/").url == "/launch/"
    assert not LaunchDraft.objects.exists()


def test_a_launched_draft_is_gone(reader):
    reader.post("/launch/drafts/", FORM)
    draft = LaunchDraft.objects.get()
    assert reader.post("/launch/", FORM | {"draft": str(draft.pk)}).status_code == 302
    assert not LaunchDraft.objects.exists()


def test_the_grid_fills_as_one_chooses():
    empty = preview({"scaffolds": [], "models": [], "environments": []})
    assert (empty.arms, empty.missing) == (0, ("environment", "scaffold", "model"))
    assert [problem.field for problem in empty.problems] == ["examples"]
    shown = preview(SPEC | {"models": [{"name": "demo-model", "top_p": 0.5}, "demo-model"]})
    assert [head.details for head in shown.grid.columns] == ["", "cell_time_limit 120", "cell_time_limit 300"]
    assert [row.head.details for row in shown.grid.rows] == ["demo-model top_p 0.5", "demo-model top_p default"]
    arms = [[cell.arm.arm for cell in row.cells] for row in shown.grid.rows]
    assert [[arm.scaffold for arm in row] for row in arms] == [["llm", "rlm", "rlm"]] * 2
    assert [[arm.sampling.top_p for arm in row] for row in arms] == [[0.5] * 3, [None] * 3]
    assert (shown.arms, shown.rollouts) == (6, 12)
    tall = preview(SPEC | {"scaffolds": [{"name": "rlm", "max_turns": turns} for turns in range(1, 9)]})
    assert [len(row.cells) for row in tall.grid.rows] == [1] * 8
    wrong = preview(SPEC | {"scaffolds": [{"name": "rlm", "max_turns": -1}]})
    assert (wrong.arms, wrong.rollouts, wrong.found) == (1, 2, None)
    assert [cell.arm for cell in wrong.grid.rows[0].cells] == [None]
    assert preview(SPEC | {"scaffolds": ["llm"] * 2000}).found is None


def test_time_is_that_of_earlier_rollouts_on_the_slots_of_live_workers(reader):
    launch(SPEC | {"examples": 3})
    assert preview(SPEC).seconds is None
    Rollout.objects.update(status="completed", stop_reason="final_message", seconds=30.0)
    now = timezone.now()
    WorkerProcess.objects.create(
        name="a:1", host="a", pid=1, started_at=now, last_seen_at=now, capacity={"concurrency": 2}
    )
    assert preview(SPEC).seconds == 6 * 30 / 2
    assert preview(SPEC | {"examples": 1, "scaffolds": ["llm"]}).seconds == 30
    html = reader.get("/launch/preview/?examples=2&environments=oolong&scaffolds=llm").content.decode()
    assert "Select at least one model." in html


def test_a_slow_model_is_told_and_launched_anyway(reader, monkeypatch):
    monkeypatch.setattr(
        "dashboard.launch.views.check_models", lambda _: ModelCheck(warnings=["m does not answer"])
    )
    held = reader.post("/launch/", FORM)
    assert held.status_code == 422
    assert "m does not answer" in held.content.decode()
    assert "Launch anyway" in held.content.decode()
    assert not Experiment.objects.exists()
    assert reader.post("/launch/", FORM | {"no_probe": "on"}).status_code == 302


def test_probing_says_what_each_model_answers(reader, monkeypatch):
    monkeypatch.setattr("dashboard.launch.views.check_models", lambda _: ModelCheck((), ["m is slow"], ["n"]))
    html = reader.post("/launch/probe/", FORM).content.decode()
    assert "m is slow" in html
    assert "n is ready" in html
    assert "Nothing to probe" in reader.post("/launch/probe/", {}).content.decode()
