"""The Settings section: what differs between arms, what they share, and the spec."""

import json
import re

from tests.factories.rollout_rows import Plan, make
from tests.factories.traces import HOSTILE, make_experiment


def html(reader, experiment):
    response = reader.get(f"/experiments/{experiment.slug}/settings/")
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_what_differs_is_a_table_and_what_is_shared_a_list(reader, db):
    plans = [Plan(scaffold="rlm", scaffold_settings={"cell_time_limit": limit}) for limit in (60, 120)]
    page = html(reader, make(plans))
    differing = page[page.index('id="differing"') : page.index('id="shared"')]
    assert "cell_time_limit" in differing
    assert "<td>60</td>" in differing
    assert "<td>120</td>" in differing
    shared = page[page.index('id="shared"') :]
    assert "cell_time_limit" not in shared
    assert "sub-model" in shared


def test_the_spec_is_there_to_be_copied_and_launched_again(reader, db):
    experiment = make_experiment(name="once more")
    experiment.spec = {"name": "once more", "examples": 3}
    experiment.save()
    page = html(reader, experiment)
    assert "&quot;examples&quot;: 3" in page
    assert f"?clone={experiment.slug}" in page


def test_the_json_has_all_settings_of_all_arms(reader, played):
    found = json.loads(reader.get(f"/api/experiments/{played.slug}/settings/").content)
    assert found["arms"] == list(played.arms.values_list("pk", flat=True))
    scaffolds = next(row for row in found["settings"] if (row["group"], row["name"]) == ("scaffold", "name"))
    assert scaffolds["values"] == ["LLM", "RLM", "RLM+tips"]


def test_names_and_values_are_escaped(reader, db):
    name = HOSTILE.replace("\x00", "").replace("\ud800", "")
    experiment = make_experiment(
        name=name, environments=[("oolong", {"path": "<i>a</i>"}), ("oolong", {"path": "b"})]
    )
    page = html(reader, experiment)
    assert "<i>a" not in page
    assert not re.search(r"<script(?![^>]* src=)", page)
