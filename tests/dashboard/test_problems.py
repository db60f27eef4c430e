"""What cannot be answered says why, on pages and in the API, and no address makes a page outgrow its size."""

import html

import pytest
from django.urls import reverse

from dashboard.middleware import MOST_OF_QUERY
from dashboard.tables.rollouts import ROLLOUTS

from ..factories.rollout_rows import Plan, make


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("/compare/?arm=x", "arm must be a whole number from 1 on"),
        ("/compare/?arm={arm}&show=nothing", "show must be one of all, differ, a, b, wrong, unscored"),
        ("/compare/rollouts/?a={rollout}", "b must name a rollout"),
        ("/rollouts/{rollout}/?attempt=9", "attempt must be a whole number from 1 to"),
        ("/api/rollouts/?limit=1000", "limit must be a whole number from 1 to 200"),
        ("/api/filters/complete?at=x", "at must be a whole number from 0"),
        ("/api/compare/?arm={arm}&unscored=x", "unscored must be one of exclude, zero, common"),
        ("/api/experiments/nothing/", "there is no such page, or no such experiment or rollout"),
        ("/api/filters/complete?experiment=%00", "there is no such page, or no such experiment"),
        ("/api/nothing/", "there is no such page"),
    ],
)
def test_the_reason_is_said(reader, played, address, reason):
    arm, rollout = played.arms.first(), played.rollouts().first()
    response = reader.get(address.format(arm=arm.pk, rollout=rollout.pk))
    assert response.status_code in (400, 404)
    if address.startswith("/api/"):
        assert reason in response.json()["error"].lower()
    else:
        page = html.unescape(response.content.decode())
        assert reason in page.lower()
        assert "All experiments" in page


def test_words_for_the_operator_are_not_for_readers(client, db):
    response = client.get("/login/", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "evil" not in response.content.decode()
    assert "ALLOWED_HOSTS" not in response.content.decode()


def test_an_address_has_an_end(reader, played):
    longest = "x" * (MOST_OF_QUERY - len("unscored=zero&a="))
    assert reader.get(f"{played.get_absolute_url()}?unscored=zero&a={longest}").status_code == 200
    for query in (f"unscored=zero&a={longest}x", "a=" + "'" * (MOST_OF_QUERY // 2)):
        response = reader.get(f"{played.get_absolute_url()}?{query}")
        assert response.status_code == 414
        assert "The address is too long" in response.content.decode()
    assert reader.get(f"/api/rollouts/?q={longest}xxxxxxxxxxxxxxxx").json().keys() == {"error"}
    assert reader.get("/rollouts/?" + "&".join(["a"] * 1_001)).status_code == 400


def test_a_long_filter_with_every_column_keeps_the_size(reader, db):
    """Each head of a table has the whole address."""
    experiment = make([Plan("oolong", scaffold) for scaffold in ("llm", "rlm")], examples=30)
    columns, quotes = ",".join(ROLLOUTS.columns), "'" * 1_100
    address = reverse("experiment-rollouts", args=[experiment.slug])
    short = reader.get(f"{address}?columns={columns}&q=-env:x").content.decode()
    assert "sort=-cost" in short
    long = reader.get(f"{address}?columns={columns}&q=-env:{quotes}")
    assert long.status_code == 200
    assert len(long.content) < 256_000
