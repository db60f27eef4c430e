"""The behaviour page equals the rows, and each number links to its rollouts."""

import csv
import io
import json
import re
from statistics import mean
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db.models import Q
from django.urls import reverse

from dashboard.behaviour.differences import folded, largest
from dashboard.behaviour.plots import legend, time_figure, use_figure
from dashboard.behaviour.tables import records, tables
from rlm_runs.analysis.aggregates import Unscored
from rlm_runs.analysis.aggregates.behaviour import PARTS, USES, behaviour
from rlm_runs.analysis.aggregates.snapshot import forget, snapshot
from rlm_runs.analysis.failure_modes import FAILURE_MODES
from rlm_runs.models import Rollout
from tests.factories.rollout_rows import Plan, make
from tests.factories.traces import HOSTILE, make_experiment, play_all, play_llm, play_rlm, play_too_long

ENDED = Q(status__in=["completed", "failed"])


@pytest.fixture
def varied(played):
    """The played experiment with varied columns."""
    for number, rollout in enumerate(played.rollouts().order_by("pk")):
        is_rlm = rollout.arm.scaffold != "llm"
        Rollout.objects.filter(pk=rollout.pk).update(
            sub_calls=number % 4 * 3 if is_rlm else 0,
            batches=number % 4 if is_rlm else 0,
            max_batch=number % 4 * 2 if is_rlm else None,
            max_parallel=number % 4 if is_rlm else None,
            cells=number if is_rlm else 0,
            cell_errors=number % 3 if is_rlm else None,
            cells_cut=number % 2 if is_rlm else None,
            cells_timed_out=0 if is_rlm else None,
            first_answer_turn=number if is_rlm and number % 2 else None,
            answer_edits=number % 5 if is_rlm and number % 2 else None,
            seconds=100.0 + number,
            model_seconds=40.0,
            retry_seconds=float(number),
            cell_seconds=30.0,
            sub_seconds=12.5 if number != 8 else None,
            tool_seconds=5.0,
            failure_modes=["wrong_answer", "budget"] if number % 2 else [],
        )
    forget()
    return played


def read(experiment, unscored=Unscored.EXCLUDE):
    return behaviour(snapshot(experiment), unscored=unscored)


def of(experiment, unscored=Unscored.EXCLUDE):
    return {
        (record["table"], record["arm"], record["column"]): record
        for record in records(tables(read(experiment, unscored)))
    }


def expected_uses(rows):
    """Use → values of these rollouts, computed from the rows."""

    def known(values):
        return [value for value in values if value is not None]

    return {
        "with_sub_calls": [row.sub_calls > 0 for row in rows],
        "sub_calls": [row.sub_calls for row in rows],
        "batch_size": [row.sub_calls / row.batches for row in rows if row.batches],
        "max_batch": [row.max_batch for row in rows if row.max_batch],
        "max_parallel": [row.max_parallel for row in rows if row.max_parallel],
        "cells": [row.cells for row in rows],
        "with_errors": [row.cell_errors > 0 for row in rows if row.cell_errors is not None],
        "with_cuts": [row.cells_cut > 0 for row in rows if row.cells_cut is not None],
        "with_timeouts": [row.cells_timed_out > 0 for row in rows if row.cells_timed_out is not None],
        "first_answer": known(row.first_answer_turn for row in rows),
        "edits": known(row.answer_edits for row in rows),
    }


@pytest.mark.parametrize("unscored", Unscored)
def test_uses_are_those_of_the_rollouts_that_count(varied, unscored):
    found = of(varied, unscored)
    whole = list(varied.rollouts().filter(ENDED))
    common = {row.example_id for row in whole} - {row.example_id for row in whole if row.reward is None}
    seen = 0
    for arm in varied.arms.exclude(scaffold="llm"):
        rows = [row for row in whole if row.arm_id == arm.pk]
        if unscored is not Unscored.ZERO:
            rows = [row for row in rows if row.reward is not None]
        if unscored is Unscored.COMMON:
            rows = [row for row in rows if row.example_id in common]
        for name, values in expected_uses(rows).items():
            record = found.get(("use", arm.pk, name))
            if not values:
                assert record is None, name
                continue
            seen += 1
            assert record["value"] == pytest.approx(mean(map(float, values)), abs=1e-12), name
            assert record["n"] == len(values), name
    assert seen > 10


def test_arms_without_a_repl_have_no_uses(varied):
    found = read(varied)
    assert [arm.arm.scaffold for arm in found.with_repl] == ["rlm", "rlm_tips"]
    assert not [key for key in of(varied) if key[0] == "use" and key[1] == varied.arms.get(scaffold="llm").pk]


def test_a_plain_model_with_cells_has_a_repl(varied):
    Rollout.objects.filter(arm__scaffold="llm").update(cells=2)
    forget()
    assert len(read(varied).with_repl) == 3


def test_stops_and_modes_count_all_that_ended_whatever_the_switch_says(varied):
    Rollout.objects.filter(pk=varied.rollouts().last().pk).update(status="cancelled", stop_reason="cancelled")
    forget()
    for unscored in Unscored:
        found = of(varied, unscored)
        for arm in varied.arms.all():
            rows = list(varied.rollouts().filter(ENDED, arm=arm))
            for reason in {row.stop_reason for row in rows}:
                record = found["stop reasons", arm.pk, reason]
                assert record["count"] == sum(row.stop_reason == reason for row in rows)
                assert record["n"] == len(rows)
                assert record["value"] == pytest.approx(record["count"] / len(rows))
            assert sum(
                record["count"] for key, record in found.items() if key[:2] == ("stop reasons", arm.pk)
            ) == len(rows)
            for mode in FAILURE_MODES:
                assert found["failure modes", arm.pk, mode]["count"] == sum(
                    mode in row.failure_modes for row in rows
                )
        assert not any(key[2] == "cancelled" for key in found)


def test_the_parts_of_the_time_add_up_to_the_whole(varied):
    found = of(varied)
    told = 0
    for arm in varied.arms.all():
        rows = [
            row
            for row in varied.rollouts().filter(ENDED, arm=arm, reward__isnull=False)
            if row.sub_seconds is not None
        ]
        parts = {part.name: found["time", arm.pk, part.name] for part in PARTS}
        whole = found["time", arm.pk, "total"]
        assert whole["n"] == len(rows)
        assert whole["value"] == pytest.approx(mean(row.seconds for row in rows), abs=1e-12)
        assert sum(part["value"] for part in parts.values()) == pytest.approx(whole["value"], abs=1e-9)
        assert parts["sub"]["value"] == 12.5
        assert parts["cells"]["value"] == 17.5
        assert parts["retries"]["value"] == pytest.approx(mean(row.retry_seconds for row in rows))
        told += len(rows)
    assert told < varied.rollouts().filter(ENDED, reward__isnull=False).count()  # one does not tell all parts


def test_shares_have_wilsons_interval(varied):
    record = next(record for key, record in of(varied).items() if key[2] == "with_timeouts")
    n, z = record["n"], 1.959963984540054
    assert record["value"] == record["low"] == 0
    assert record["high"] == pytest.approx(z * z / (n + z * z))


def test_a_number_leads_to_its_rollouts(varied):
    found = of(varied)
    arm = varied.arms.get(scaffold="rlm").pk
    assert found["use", arm, "with_errors"]["rollouts"] == f"arm:{arm} outcome:scored errors:>0"
    assert found["failure modes", arm, "budget"]["rollouts"] == f"arm:{arm} status:completed,failed failure:budget"
    zero = of(varied, Unscored.ZERO)
    assert "outcome:scored,too_long,unjudged,failed" in zero["use", arm, "cells"]["rollouts"]


@pytest.mark.parametrize("unscored", Unscored)
def test_a_number_leads_to_as_many_rollouts_as_it_counts(reader, varied, unscored):
    rlm = varied.arms.get(scaffold="rlm")
    Rollout.objects.filter(pk=rlm.rollouts.filter(batches__gt=0).first().pk).update(sub_calls=None)
    forget()
    followed = 0
    for record in of(varied, unscored).values():
        if record["rollouts"] is None:
            continue
        address = reverse("api-experiment-rollouts", args=[varied.slug])
        found = reader.get(address, {"q": record["rollouts"], "limit": 1}).json()["count"]
        is_share = record["column"].startswith("with_")
        expected = round(record["value"] * record["n"]) if is_share else record["n"]
        assert found == (expected if record["count"] is None else record["count"]), record
        followed += 1
    assert followed > 60


def test_common_examples_are_named(varied):
    found = of(varied, Unscored.COMMON)
    arm = varied.arms.get(scaffold="rlm_tips").pk
    spoilt = {row.example_position for row in varied.rollouts() if row.reward is None}
    named = ",".join(str(place + 1) for place in range(3) if place not in spoilt)
    assert spoilt
    assert re.sub(r"(\d)\.\.(\d)", r"\1,\2", found["use", arm, "cells"]["rollouts"]) == (
        f"arm:{arm} outcome:scored example:{named} cells:>=0"
    )


def test_where_no_filter_finds_just_those_there_is_no_link(reader, varied):
    partly = varied.rollouts().get(sub_seconds=None).arm
    found = of(varied)
    assert {record["rollouts"] for key, record in found.items() if key[:2] == ("time", partly.pk)} == {None}
    assert {record["rollouts"] for key, record in found.items() if key[0] == "time"} != {None}
    page = reader.get(reverse("behaviour", args=[varied.slug])).content.decode()
    assert "q=None" not in page
    customdata = [
        own for trace in time_figure(tables(read(varied))[3])["panels"][0]["data"] for own in trace["customdata"]
    ]
    assert "" in {query for query, _ in customdata}


def test_examples_that_fill_no_address_are_no_link(reader, db):
    def row(rng, arm, number):
        return {"reward": None if arm.scaffold == "llm" and number % 2 else 1.0, "sub_calls": 1}

    experiment = make([Plan(), Plan(scaffold="rlm")], examples=600, row=row)
    found = [record for record in of(experiment, Unscored.COMMON).values() if record["table"] == "use"]
    assert {(record["n"], record["rollouts"]) for record in found} == {(300, None)}
    page = reader.get(reverse("behaviour", args=[experiment.slug]) + "?unscored=common").content.decode()
    assert "300" in page
    assert "q=None" not in page


def test_filters_of_many_arms_stay_within_the_bounds(reader, db):
    def row(rng, arm, number):
        of_repl = dict.fromkeys(("cells", "cell_errors", "cells_cut", "cells_timed_out", "answer_edits"), 1)
        of_calls = dict.fromkeys(("sub_calls", "batches", "max_batch", "max_parallel", "first_answer_turn"), 1)
        times = ("seconds", "model_seconds", "retry_seconds", "cell_seconds", "sub_seconds", "tool_seconds")
        reward = None if arm.model == "m0" and number % 2 else 1.0
        return {"reward": reward, **of_repl, **of_calls, **dict.fromkeys(times, 1.0)}

    plans = [Plan(scaffold="rlm", model=f"m{at}") for at in range(16)]
    for examples, has_links in ((60, True), (600, False)):
        experiment = make(plans, examples=examples, row=row)
        response = reader.get(reverse("behaviour", args=[experiment.slug]) + "?unscored=common")
        assert (b"example%3A1%2C3%2C5" in response.content) == has_links
        assert len(response.content) < 256_000


def test_a_strange_stop_reason_is_quoted(varied):
    row = varied.rollouts().filter(ENDED).first()
    Rollout.objects.filter(pk=row.pk).update(stop_reason='no "more" time')
    forget()
    found = of(varied)["stop reasons", row.arm_id, 'no "more" time']
    assert found["rollouts"].endswith(r'stop:"no \"more\" time"')


def test_the_page(reader, varied, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        response = reader.get(reverse("behaviour", args=[varied.slug]))
    page = response.content.decode()
    assert len(response.content) < 256_000
    for use in USES:
        assert (json.dumps(use.title)[1:-1] in page) is not use.is_rare
    for mode in FAILURE_MODES.values():
        assert mode.title in page
    links = [parse_qs(urlsplit(link).query)["q"][0] for link in re.findall(r'href="([^"]*\?q=[^"]*)"', page)]
    assert len(links) > 30
    assert all(re.match(r"arm:\d+ (outcome|status):", query) for query in links)
    with django_assert_max_num_queries(6):  # nothing changed: nothing is counted again
        reader.get(reverse("behaviour", args=[varied.slug]))


def test_what_differs_comes_first_and_what_is_the_same_in_all_arms_is_one_line(reader, db):
    def row(rng, arm, number):
        is_tips = arm.scaffold == "rlm_tips"
        return {
            "reward": 1.0,
            "sub_calls": number % 3 + (30 if is_tips else 2),
            "cells": number % 4 + 4,
            "cells_timed_out": 0,
            "cell_errors": 0,
            "answer_edits": 1,
        }

    experiment = make([Plan(scaffold="rlm"), Plan(scaffold="rlm_tips")], examples=20, row=row)
    use, modes, stops, _ = tables(read(experiment))
    (first, *_) = largest([use, modes, stops], most=6)
    assert (first.column.name, first.highest[0].arm.arm.scaffold) == ("sub_calls", "rlm_tips")
    assert "cells" not in [each.column.name for each in largest([use], most=6)]
    found = folded(use)
    assert found.table.columns[0].name == "sub_calls"
    same = {each.title: each.text for each in found.constants}
    assert same["rollouts with a cell timeout"] == "0 %"
    assert same["edits of the answer"] == "1"
    assert "sub-calls" not in same
    page = " ".join(reader.get(reverse("behaviour", args=[experiment.slug])).content.decode().split())
    line = re.search(r'<p class="constants soft">.*?</p>', page)[0]
    assert "rollouts with a cell timeout <strong>0 %</strong>" in line
    use_table = page[page.index('aria-label="Sub-calls, cells and answers by arm"') :].partition("</table>")[0]
    assert "cell timeout" not in use_table


def test_a_rare_use_is_listed_where_there_is_one(reader, varied):
    row = varied.rollouts().exclude(reward=None).exclude(cell_errors=None).first()
    type(row).objects.filter(pk=row.pk).update(cells_repaired=2)
    assert "rollouts with a repaired cell" in reader.get(reverse("behaviour", args=[varied.slug])).content.decode()
    found = of(varied)["use", row.arm_id, "with_repairs"]
    assert 0 < found["value"] < 1
    assert found["rollouts"].endswith("repaired:>0")


def test_the_switch_is_in_the_address(reader, varied):
    page = reader.get(reverse("behaviour", args=[varied.slug]) + "?unscored=zero").content.decode()
    assert re.search(r'href="\?unscored=zero" aria-current="true"', page)
    assert "data.csv?unscored=zero" in page


def test_csv_and_json_say_the_same(reader, varied):
    rows = list(
        csv.DictReader(io.StringIO(reader.get(reverse("behaviour-csv", args=[varied.slug])).content.decode()))
    )
    found = json.loads(reader.get(reverse("behaviour-json", args=[varied.slug])).content)
    assert (found["experiment"], found["unscored"], found["ended"]) == (varied.slug, "exclude", 9)
    assert len(rows) == len(found["numbers"]) > 60
    for row, number in zip(rows, found["numbers"], strict=True):
        assert float(row["value"]) == number["value"]
        assert {key: row[key] for key in ("table", "column", "rollouts")} == {
            key: number[key] or "" for key in ("table", "column", "rollouts")
        }


def test_no_name_is_a_formula(reader, varied):
    varied.arms.filter(scaffold="rlm").update(model="=1+1")
    varied.arms.filter(scaffold="llm").update(model="-2+3")
    forget()
    text = reader.get(reverse("behaviour-csv", args=[varied.slug])).content.decode()
    models = {row["model"] for row in csv.DictReader(io.StringIO(text))}
    assert {"'=1+1", "'-2+3"} <= models
    assert not [model for model in models if model.startswith(("=", "-"))]


def test_nothing_has_ended(reader, queued):
    page = reader.get(reverse("behaviour", args=[queued.slug])).content.decode()
    assert "No rollout has ended yet" in page
    assert "<table" not in page


def test_nothing_counts_yet(reader, queued):
    for rollout in queued.rollouts().filter(arm__scaffold="rlm"):
        play_too_long(rollout)
    page = reader.get(reverse("behaviour", args=[queued.slug])).content.decode()
    assert "Count all that ended instead" in page
    assert "prompt_too_long" in page


def test_no_arm_has_a_repl(reader):
    experiment = make_experiment(scaffolds=("llm",))
    for rollout in experiment.rollouts():
        play_llm(rollout)
    page = reader.get(reverse("behaviour", args=[experiment.slug])).content.decode()
    assert "No arm of this experiment has a REPL" in page


def test_what_a_file_does_not_tell(reader, varied):
    Rollout.objects.filter(experiment=varied).update(
        **dict.fromkeys(("model_seconds", "cell_errors", "max_batch", "first_answer_turn", "cells", "sub_calls"))
    )
    forget()
    page = reader.get(reverse("behaviour", args=[varied.slug])).content.decode()
    assert "No log tells where the time" in page
    assert "not known" in page


def test_hostile_names_are_text(reader):
    experiment = make_experiment(
        name=HOSTILE.replace("\x00", "").replace("\ud800", ""), environments=("<b>x</b>",)
    )
    play_all(experiment)
    page = reader.get(reverse("behaviour", args=[experiment.slug])).content.decode()
    assert "<b>x" not in page
    assert "<script>alert" not in page


def test_figures_have_the_numbers_of_the_tables(varied):
    use, _, _, times = tables(read(varied))
    panels = {panel["title"]: panel for panel in use_figure(use)["panels"]}
    for place, column in enumerate(use.columns):
        numbers = [row.numbers[place] for row in use.rows if row.numbers[place]]
        panel = panels[column.title]
        bars = [y for trace in panel["data"] for y in trace["y"]]
        assert sorted(bars) == pytest.approx(sorted(number.interval.mean for number in numbers), rel=1e-5)
        assert {data[0] for trace in panel["data"] for data in trace["customdata"]} == {
            number.query for number in numbers
        }
        assert panel["layout"]["yaxis"].get("tickformat") == (".0%" if column.is_share else None)
    (panel,) = time_figure(times)["panels"]
    assert [trace["name"] for trace in panel["data"]] == [part.title for part in PARTS]
    assert len(panel["data"][0]["x"]) == len(times.rows)


def test_series_of_one_colour_have_patterns(db):
    experiment = make_experiment(scaffolds=("rlm",), models=("one", "two"))
    for number, arm in enumerate(experiment.arms.all()):
        arm.scaffold_settings = {"cell_time_limit": 60 * (number + 1)}
        arm.save()
    for rollout in experiment.rollouts().select_related("arm"):
        play_rlm(rollout)
    entries = legend(tables(read(experiment))[0])
    assert [(entry.scaffold, entry.pattern) for entry in entries] == [("rlm", ""), ("rlm", "striped")]


def test_many_arms_come_in_pages(reader, db):
    experiment = make_experiment(models=[f"model-{number}" for number in range(8)], examples=1)
    for rollout in experiment.rollouts().select_related("arm", "example"):
        play_llm(rollout) if rollout.arm.scaffold == "llm" else play_rlm(rollout)
    address = reverse("behaviour", args=[experiment.slug])
    response = reader.get(address)
    page = response.content.decode()
    assert len(response.content) < 256_000
    assert "arms 1 to 14 of 24" in page
    assert "?from=15" in page
    rest = reader.get(f"{address}?from=15").content.decode()
    assert "arms 15 to 24 of 24" in rest
    assert "?from=1&" not in rest
    twin = [
        json.loads(reader.get(reverse("behaviour-json", args=[experiment.slug]) + f"?from={first}").content)
        for first in (1, 15)
    ]
    assert [found["next"] for found in twin] == [15, None]
    arms = {number["arm"] for found in twin for number in found["numbers"]}
    assert len(arms) == 24
    assert reader.get(f"{address}?from=x").status_code == 400
