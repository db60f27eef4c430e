"""The command palette: words find experiments, arms, figures, pages and actions; a number finds a rollout."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from rlm_runs.models import Experiment
from tests.factories.traces import make_experiment


def found(reader, typed="", at="/"):
    """Title of a group → its (label, address or action)."""
    page = reader.get("/palette/", {"q": typed, "at": at}).content.decode()
    groups = {}
    for part in page.split('role="group"')[1:]:
        title = re.search(r'class="group"[^>]*>([^<]*)<', part)[1]
        entries = re.findall(
            r'role="option"[^>]*(?:href|data-palette-action)="([^"]*)".*?class="name">([^<]*)<', part, re.DOTALL
        )
        groups[title] = [(label, address) for address, label in entries]
    return groups


def test_without_words_it_offers_what_is_new_pages_and_actions(reader, played):
    groups = found(reader)
    assert (played.name, played.get_absolute_url()) in groups["Experiments"]
    assert ("Rollouts", "/rollouts/") in groups["Pages"]
    assert ("Launch experiment", "/launch/") in groups["Actions"]
    assert ("Switch theme", "theme") in groups["Actions"]
    assert "Arms" not in groups
    assert "Figures" not in groups


def test_a_number_finds_its_rollout(reader, played):
    rollout = played.rollouts().first()
    for typed in (str(rollout.pk), f"#{rollout.pk}", f" rollout {rollout.pk} "):
        assert found(reader, typed)["Rollout"] == [(f"Rollout {rollout.pk}", rollout.get_absolute_url())]
    for typed in ("999999999", "9" * 30, "#x"):
        assert "Rollout" not in found(reader, typed)


def test_words_find_experiments_that_begin_with_them_first(reader, db):
    make_experiment(name="alpha beta")
    make_experiment(name="beta gamma")
    make_experiment(name="gamma")
    assert [label for label, _ in found(reader, "Beta")["Experiments"]] == ["beta gamma", "alpha beta"]
    assert [label for label, _ in found(reader, "beta alpha")["Experiments"]] == ["alpha beta"]


def test_words_find_arms_by_environment_scaffold_and_model(reader, played):
    arms = {arm.pk: arm for arm in played.arms.all()}
    for arm in arms.values():
        entries = found(reader, f"{arm.environment} {arm.scaffold_title}")["Arms"]
        addresses = [address for _, address in entries]
        assert f"/experiments/{played.slug}/rollouts/?q=arm%3A{arm.pk}" in addresses
    assert "Arms" not in found(reader, "no-such-arm")


def test_words_find_figures_here_and_elsewhere(reader, played):
    other = make_experiment(name="elsewhere")
    here = found(reader, "efficiency", at=played.get_absolute_url())["Figures"]
    assert here == [("Efficiency", f"/experiments/{played.slug}/figures/efficiency/")]
    there = found(reader, "efficiency elsewhere", at=played.get_absolute_url())["Figures"]
    assert there == [("Efficiency", f"/experiments/{other.slug}/figures/efficiency/")]


@pytest.mark.parametrize("place", ["experiment", "rollout"])
def test_it_offers_the_sections_of_the_page_where_one_is(reader, played, place):
    rollout = played.rollouts().first()
    at = played.get_absolute_url() if place == "experiment" else rollout.get_absolute_url()
    here = dict(found(reader, at=at)["Here"])
    assert here["Behaviour"] == f"/experiments/{played.slug}/behaviour/"
    assert ("Timeline" in here) == (place == "rollout")


def test_archived_and_deleted_experiments_are_not_found(reader, played):
    number = played.rollouts().first().pk
    Experiment.objects.filter(pk=played.pk).update(archived_at=timezone.now())
    assert not {"Experiments", "Arms", "Figures"} & found(reader, played.name).keys()
    Experiment.objects.filter(pk=played.pk).update(deleted_at=timezone.now())
    assert "Rollout" not in found(reader, str(number))


def test_hostile_names_are_shown_as_text(reader, played):
    Experiment.objects.filter(pk=played.pk).update(name="<script>x\u202e")
    page = reader.get("/palette/").content.decode()
    assert "<script>" not in page
    assert "\u202e" not in page


def test_nothing_found_says_what_can_be_found(reader, db):
    page = reader.get("/palette/", {"q": "zzzz"}).content.decode()
    assert "Nothing found" in page


def test_it_asks_little_of_the_database(reader, played, django_assert_max_num_queries):
    with django_assert_max_num_queries(10):
        reader.get("/palette/", {"q": "oolong rlm", "at": played.get_absolute_url()})
