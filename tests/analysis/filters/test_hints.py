"""Hints list what can come next; the docs list every key."""

import re
from pathlib import Path

import pytest

from rlm_runs.analysis.filters import KEYS, KINDS, complete, condition, hints, parse
from rlm_runs.models import Arm, Example
from tests.factories.traces import make_experiment, play_all

DOCS = Path(__file__).resolve().parents[3] / "docs/filters.md"


@pytest.fixture
def played(db):
    experiment = make_experiment(environments=("verbatim-copy", ("oolong", {"subset": "real"})))
    play_all(experiment)
    Example.objects.update(metadata={"context len": 4096, "kind": "a b", "\x1a0000": 1})
    Arm.objects.filter(scaffold="rlm").update(model="Qwen, big")
    return experiment


def options(source, at=None, **more):
    found = complete(source, len(source) if at is None else at, **more)
    return [option.text for option in found.options]


def test_the_docs_list_the_keys_and_what_they_mean():
    rows = re.findall(
        r"^\| `([^`]+)` \| (.*) \|$", DOCS.read_text().split("## Keys")[1].split("## Search")[0], re.M
    )
    known = [(key.name, key.help) for key in KEYS.values()]
    known += [(f"{family}.…", key.help) for family, key in KINDS.items()]
    assert rows == known


def test_keys_are_offered_first(played):
    assert options("sc") == ["scaffold:"]
    assert options("su")[:3] == ["submodel:", "subcalls:", "subturns:"]
    assert "meta." in options("m")
    assert options("nothing-like-it") == []
    assert complete("x", 1).options == () or complete("st", 2).options[0].help


def test_then_the_values_that_there_are(played):
    assert options("env:") == ["env:oolong", "env:verbatim-copy"]
    assert options("env:oolong,ver") == ["env:oolong,verbatim-copy"]
    assert options("model:qw") == ['model:"Qwen, big"']
    assert options("stop:prompt") == ["stop:prompt_too_long"]
    assert options("failure:no") == ["failure:no_sub_call"]
    assert options("status:c") == ["status:completed", "status:cancelled"]
    assert options("outcome:un") == ["outcome:unjudged", "outcome:unfinished"]
    assert options("reward:") == ["reward:<1", "reward:>=1", "reward:0..1", "reward:none"]
    assert options(f"experiment:{played.slug[:4]}") == [f"experiment:{played.slug}"]
    assert options("set.") == ["set.max_turns:", "set.subset:"]
    assert options("set.subset:", experiment=played) == ["set.subset:real"]
    assert options("metric.ex", experiment=played) == ["metric.exact_match:"]
    assert options("meta.") == ['meta."context len":', "meta.kind:"]
    assert options("meta.kind:") == ['meta.kind:"a b"']


def test_every_offer_can_be_written_and_fits_its_place(played):
    for source, at in (("env:oolong -sc reward:<1", 14), ("a -env:", 7), ("a meta. b", 7), ('model:"Qw', 9)):
        found = complete(source, at)
        assert found.options, source
        for option in found.options:
            text = source[: found.start] + option.text + source[found.end :]
            if not option.text.endswith((".", ":")):
                condition(parse(text))
    found = complete("env:oolong -sc reward:<1", 14)
    assert (found.start, found.end) == (12, 14)


@pytest.mark.parametrize(
    "source", ["", '"', "-", ":", "env:\x00", 'meta."x', "a" * 500, "env:,,", "set.x:", "x:y"]
)
def test_whatever_is_typed_is_answered(played, source):
    for at in range(min(len(source), 12) + 1):
        complete(source, at, experiment=played)


def test_completion_costs_a_query_or_two(played, django_assert_max_num_queries):
    with django_assert_max_num_queries(1):
        for source in ("stop:", "env:", "meta.", "failure:", "experiment:")[:1]:
            complete(source, len(source))


def test_hints_say_what_is_alike(played):
    assert hints(parse("env:olong")) == ["No rollout has the env “olong”; did you mean “oolong”?"]
    assert hints(parse("scaffold:RLM")) == ["No rollout has the scaffold “RLM”; did you mean “rlm”?"]
    assert "there is oolong, verbatim-copy." in hints(parse("env:zzz"))[0]
    assert hints(parse("env:oolong -env:zzz reward:>5 env:z* word")) == []


def test_the_address_answers_in_json(played, client, django_user_model):
    client.force_login(django_user_model.objects.create(username="ada"))
    answer = client.get("/api/filters/complete?q=env:ool&at=7").json()
    assert answer == {"start": 0, "end": 7, "options": [{"text": "env:oolong", "help": ""}]}
    assert client.get("/api/filters/complete?q=env:&at=99").json()["options"]
    assert client.get("/api/filters/complete?q=x&at=-1").status_code == 400
    assert client.get("/api/filters/complete?q=x&experiment=nothing").status_code == 404
