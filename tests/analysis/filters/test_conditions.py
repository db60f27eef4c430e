"""Terms select the right rollouts; a term and its negation partition all rollouts."""

from decimal import Decimal

import pytest

from rlm_runs.analysis import filters
from rlm_runs.analysis.filters import KEYS, FilterError
from rlm_runs.models import Arm, Example, Rollout
from tests.factories.traces import make_experiment, play_all

pytestmark = pytest.mark.django_db


@pytest.fixture
def played():
    experiment = make_experiment(
        environments=("verbatim-copy", ("oolong", {"subset": "real", "size": 4})), repetitions=1
    )
    play_all(experiment)
    return experiment


def found(source):
    return set(Rollout.objects.filter(filters.condition(filters.parse(source))))


def rollouts(**columns):
    return set(Rollout.objects.filter(**columns))


def test_names(played):
    assert found("env:oolong") == rollouts(arm__environment="oolong") != set()
    assert found("env:oolong scaffold:rlm,llm") == rollouts(
        arm__environment="oolong", arm__scaffold__in=["llm", "rlm"]
    )
    assert found("env:*copy") == rollouts(arm__environment="verbatim-copy") != set()
    assert found('env:"*copy"') == set()
    assert found("model:demo*,x") == found("submodel:*model") == rollouts()
    assert found(f"experiment:{played.slug}") == rollouts()
    assert found("env:nothing") == found("env:verbatim") == set()
    assert found("stop:none") == rollouts(stop_reason="")


def test_numbers_from_one(played):
    assert found("example:1") == rollouts(example_position=0) != set()
    assert found("example:>=2 example:<3") == rollouts(example_position=1)
    assert found("example:2..3") == rollouts(example_position__in=[1, 2])
    assert found("example:1.5") == found("example:2.5..2.9") == set()
    assert found("example:>1.5") == rollouts(example_position__gte=1)
    assert found("example:<1.5") == rollouts(example_position=0)
    assert found("rep:1") == rollouts()
    one = played.rollouts().first()
    assert found(f"#{one.pk}") == found(f"id:{one.pk}") == {one}
    assert found(f"arm:{one.arm_id}") == rollouts(arm=one.arm_id)


def test_rewards_and_sums(played):
    assert found("reward:1") == rollouts(reward=1) != set()
    assert found("reward:<1") == rollouts(reward__lt=1) != set()
    assert found("reward:none") == rollouts(reward=None) != set()
    assert found("cost:none") == rollouts(cost=None)
    assert found("cost:0.0024691356") == rollouts(cost=Decimal("0.0024691356"))
    assert found("subcalls:>0") == rollouts(sub_calls__gt=0) != set()
    tokens = {row for row in rollouts() if row.main_tokens + row.sub_tokens > 5000}
    assert found("tokens:>5k") == tokens != set()
    assert found("main:>1 sub:0") == {row for row in rollouts() if row.main_tokens > 1 and not row.sub_tokens}


def test_outcomes_part_all_rollouts(played):
    Rollout.objects.filter(pk=played.rollouts().last().pk).update(status="cancelled", reward=None)
    parts = [found(f"outcome:{name}") for name in filters.conditions.OUTCOMES]
    assert set.union(*parts) == rollouts()
    assert sum(map(len, parts)) == len(rollouts())
    assert found("outcome:too_long") == rollouts(stop_reason="prompt_too_long") != set()
    assert found("outcome:failed") == rollouts(status="failed", stop_reason="model_error") != set()
    assert found("outcome:x") == set()


def test_failure_modes(played):
    one, two, *_ = rollouts()
    Rollout.objects.update(failure_modes=[])
    Rollout.objects.filter(pk=one.pk).update(failure_modes=["no_sub_call", "budget"])
    Rollout.objects.filter(pk=two.pk).update(failure_modes=["budget"])
    assert found("failure:budget") == {one, two}
    assert found("failure:budget failure:no_sub_call") == {one}
    assert found("failure:no_sub_call,x") == {one}
    assert found("failure:none") == rollouts() - {one, two}


def test_what_is_the_experiments_own(played):
    Example.objects.filter(environment="oolong").update(
        metadata={"context_len": 4096, "subset": "synth", "flag": True, 'a "b".c': "x", "5": "five", "gone": None}
    )
    Arm.objects.filter(scaffold="rlm").update(scaffold_settings={"depth": 2}, sampling={"temperature": 0.5})
    oolong = rollouts(arm__environment="oolong")
    for said in (
        "meta.context_len:4096",
        "meta.context_len:4096.0",
        "meta.context_len:>4k",
        "meta.context_len:4000..5000",
        "meta.subset:synth",
        "meta.subset:s*h,x",
        "meta.flag:true",
        "meta.flag:1",
        'meta."a \\"b\\".c":x',
        "meta.5:five",
        "set.subset:real",
        "set.size:<5",
    ):
        assert found(said) == oolong != set(), said
    for said in ("meta.subset:>1", "meta.subset:2", "meta.context_len:>4096", "meta.gone:x", "meta.flag:>1"):
        assert found(said) == set(), said
    assert found("meta.gone:none") == rollouts()
    assert found("meta.subset:none") == rollouts() - oolong
    assert found("set.depth:2") == found("set.temperature:0.5") == rollouts(arm__scaffold="rlm") != set()
    assert found("set.depth:none") == rollouts() - rollouts(arm__scaffold="rlm")
    assert found("metric.exact_match:0") == rollouts(metrics__exact_match=0.0) != set()


SAID = [
    *(f"{name}:0" for name, key in KEYS.items() if key.is_numeric),
    *(f"{name}:none" for name in KEYS),
    *("reward:<1", "reward:0..0.5", "firstanswer:>1", "cost:>0", "meta.x:1", "meta.x:a", "metric.x:<1"),
    *("set.max_turns:none", "set.subset:real", "set.size:4", "metric.exact_match:0", "outcome:scored"),
    *("failure:x", "env:oolong", "model:*x*", "llm_batch", '"quick brown"', "id:1e299", "id:-1e299"),
    *("example:1.5", "cost:<1e200", "turns:..3", "stop:\x00", "meta.\x00:1", "\x1aab", "main:>1"),
]


def test_a_term_and_its_negation_part_all_rollouts(played):
    everything = rollouts()
    for said in SAID:
        with_term, without = found(said), found(f"-{said}")
        assert with_term | without == everything, said
        assert not with_term & without, said


@pytest.mark.parametrize(
    ("source", "word", "message", "allowed"),
    [
        ("env:x rewrd:1", "rewrd", "there is no key", "reward"),
        ("-nothing:1", "nothing", "there is no key", "meta.…"),
        ("turns:many", "many", "not a number", "a number, <1, >=10, 1..5"),
        ("turns:1,many", "many", "not a number", "a number, <1, >=10, 1..5"),
        ("reward:<x", "<x", "not a number", "a number, <1, >=0.5, 0.2..0.8, none"),
        ("http://x", "http", "in quotes", "env"),
        ("a b c d e f g h ninth", "ninth", "at most 8", None),
        ("a !!!", "!!!", "letters or digits", None),
        ("a " + "x" * 300, "x" * 300, "at most 200", None),
    ],
)
def test_errors_point_at_the_word(source, word, message, allowed):
    with pytest.raises(FilterError, match=message) as caught:
        filters.condition(filters.parse(source))
    assert source[caught.value.start : caught.value.end] == word
    assert allowed is None or allowed in caught.value.allowed


def test_a_slip_is_mended():
    with pytest.raises(FilterError) as caught:
        filters.condition(filters.parse("env:x -rewrd:<1 y"))
    assert caught.value.suggestion == "env:x -reward:<1 y"


def test_little_is_asked_of_the_database(django_assert_num_queries):
    with django_assert_num_queries(0):
        filters.condition(filters.parse("meta.x:1 -failure:budget reward:<1"))
    with django_assert_num_queries(1):
        filters.condition(filters.parse("env:oolong -scaffold:rlm set.subset:real meta.x:1"))
    with django_assert_num_queries(3):
        filters.condition(filters.parse("env:oolong llm_batch"))


def test_many_arms_are_left_to_the_database(played, monkeypatch):
    few = [found(source) for source in ("scaffold:rlm", "-scaffold:rlm", "set.subset:real -scaffold:rlm")]
    monkeypatch.setattr(filters.conditions, "_MOST_ARMS", 0)
    assert [found(source) for source in ("scaffold:rlm", "-scaffold:rlm", "set.subset:real -scaffold:rlm")] == few
    assert all(few)
