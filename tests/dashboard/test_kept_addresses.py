"""Addresses and API fields that people have in bookmarks, papers and scripts. None of them may change.

They are written out here, so that a renamed view or field fails a test.
"""

from __future__ import annotations

import json

import pytest

from rlm_runs.models import Trajectory, Turn

PAGES = """
/
/?q=does&status=finished&sort=-cost
/home/live/
/palette/?q=oolong&at=/experiments/{slug}/
/experiments/
/experiments/?q=does&status=finished&sort=-cost
/launch/
/launch/spec/?name=x
/launch/?clone={slug}
/launch/?preset=oolong-subsets&generated
/launch/preview/?name=x
/experiments/{slug}/
/experiments/{slug}/?unscored=zero&sort=-reward
/experiments/{slug}/live/
/experiments/{slug}/figures/
/experiments/{slug}/figures/?unscored=zero
/experiments/{slug}/figures-live/
/experiments/{slug}/figures/reward/small/
/experiments/{slug}/arms/
/experiments/{slug}/arms/?unscored=zero&sort=-reward
/experiments/{slug}/arms/live/
/experiments/{slug}/settings/
/experiments/{slug}/control/
/experiments/{slug}/control/retry/
/experiments/{slug}/log/
/experiments/{slug}/behaviour/
/experiments/{slug}/behaviour/?unscored=common
/experiments/{slug}/types/
/experiments/{slug}/types/?unscored=zero&effect=0.2
/experiments/{slug}/rollouts/
/experiments/{slug}/rollouts/?q=scaffold:rlm reward:<1&sort=-cost&columns=rollout,reward
/experiments/{slug}/figures/reward/
/experiments/{slug}/figures/by/?measure=cost&by=scaffold&form=bars
/experiments/{slug}/figures/reward/?embed=1
/experiments/{slug}/figures/reward/live/
/compare/
/compare/?arm={arm}&arm={other_arm}&unscored=zero&sort=example&show=differ&measure=cost&measures=all&settings=all
/compare/prompts/?arm={arm}&arm={other_arm}
/compare/rollouts/?a={rollout}&b={other_rollout}
/rollouts/
/rollouts/?q=env:oolong "a phrase"&sort=-reward
/rollouts/?pane=1&columns=id,reward
/rollouts/filters/?q=env:oolong&experiment={slug}
/rollouts/{rollout}/preview/
/rollouts/{rollout}/
/rollouts/{rollout}/?attempt=1&from=1
/rollouts/{rollout}/live/
/rollouts/{rollout}/timeline/
/rollouts/{rollout}/flame/?attempt=1
/rollouts/{rollout}/context/
/rollouts/{rollout}/answer/
/rollouts/{rollout}/variables/?cell=1
/rollouts/{rollout}/input/
/rollouts/{rollout}/diagnosis/
/rollouts/{rollout}/now/
/rollouts/{rollout}/notes/
/rollouts/{rollout}/notes/?attempt=1&turn=1&part=content&start=0&end=3&quote=abc
/rollouts/review/?q=scaffold:rlm&blind=0
/rollouts/{rollout}/fork/?turn=1&attempt=1
/rollouts/{rollout}/calls/{call}/
/rollouts/{rollout}/executions/{execution}/batches/0/
/rollouts/{rollout}/turns/{turn}/prompt/
/rollouts/{rollout}/turns/{turn}/prompt/?as=json
/rollouts/{rollout}/text/turn/{turn}/content/
/rollouts/{rollout}/text/example/{rollout}/prompt/
/models/
/models/live/
/shared/
/healthz
""".strip().splitlines()

FILES = """
/experiments.csv
/rollouts.csv
/experiments/{slug}/rollouts.csv
/experiments/{slug}/behaviour/data.csv
/experiments/{slug}/figures/reward/data.csv
/compare/matrix.csv?arm={arm}&arm={other_arm}
/compare/measures.csv?arm={arm}&arm={other_arm}
""".strip().splitlines()

API = {
    "/api/home/": ("at models results running running_more spend workers"),
    "/api/experiments/": ("columns next previous rows"),
    "/api/experiments/{slug}/": (
        "arms budget cancelled_at circuits created_at description early_stopping name paused_at paused_by_budget "
        "priority progress provider_bill rollouts slug sources"
    ),
    "/api/experiments/{slug}/settings/": ("arms code_version experiment seed settings"),
    "/api/experiments/{slug}/types/": ("comparisons dependences effect experiment key keys rows unscored"),
    "/api/experiments/{slug}/control/": ("actions"),
    "/api/experiments/{slug}/log/": ("next previous rows"),
    "/api/experiments/{slug}/behaviour/": ("arms ended experiment next numbers rollouts unscored"),
    "/api/experiments/{slug}/rollouts/": ("columns count count_is_a_minimum next previous rows"),
    "/api/experiments/{slug}/figures/reward/": (
        "asked caption experiment figure left_off next question rows title version"
    ),
    "/rollouts/{rollout}/spans/": ("began columns seconds spans"),
    "/api/rollouts/": ("columns count count_is_a_minimum next previous rows"),
    "/api/rollouts/{rollout}/": ("attempt is_cut metadata metrics row trajectories"),
    "/api/rollouts/{rollout}/forks/": ("rollout tree"),
    "/api/compare/?arm={arm}&arm={other_arm}": ("arms matrix measures settings shared_examples unscored"),
    "/api/compare/rollouts/?a={rollout}&b={other_rollout}": (
        "a b examples gold is_same_example next place previous prompt"
    ),
    "/api/reviews/?q=scaffold:rlm": ("next rows"),
    "/api/models/": ("at endpoints former"),
    "/api/filters/complete?q=env:&at=4": ("end options start"),
}
"""Address → the names of the answer's fields."""


@pytest.fixture
def names(played):
    """What the addresses name: an experiment with every kind of rollout."""
    rollout = played.rollouts().filter(sub_calls__gt=0).first()
    other = played.rollouts().filter(example=rollout.example).exclude(pk=rollout.pk).first()
    arms = list(played.arms.values_list("pk", flat=True))
    call = Trajectory.objects.filter(rollout=rollout, kind="sub").first()
    return {
        "slug": played.slug,
        "arm": arms[0],
        "other_arm": arms[1],
        "rollout": rollout.pk,
        "other_rollout": other.pk,
        "call": call.pk,
        "execution": call.parent_id,
        "turn": Turn.objects.filter(trajectory__rollout=rollout).first().pk,
    }


@pytest.mark.parametrize("address", PAGES)
def test_a_kept_page_opens(reader, names, address):
    response = reader.get(address.format(**names), follow=True)
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/")


def test_a_former_address_of_the_list_of_experiments_leads_to_it(reader):
    response = reader.get("/?q=does&status=finished&sort=-cost")
    assert (response.status_code, response.url) == (302, "/experiments/?q=does&status=finished&sort=-cost")


@pytest.mark.parametrize("address", FILES)
def test_a_kept_file_is_csv(reader, names, address):
    response = reader.get(address.format(**names))
    assert (response.status_code, response["Content-Type"]) == (200, "text/csv; charset=utf-8")
    body = b"".join(response) if response.streaming else response.content
    assert len(body.splitlines()) > 1


def test_a_kept_replay_in_one_file_is_html(reader, names):
    response = reader.get("/rollouts/{rollout}/standalone/?attempt=1".format(**names))
    assert (response.status_code, response["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"".join(response).endswith(b"</html>\n")


@pytest.mark.parametrize("address", API)
def test_a_kept_api_answers_with_its_fields(reader, names, address):
    response = reader.get(address.format(**names))
    assert response.status_code == 200
    assert sorted(json.loads(response.content)) == API[address].split()
