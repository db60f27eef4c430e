"""Full-text search: results, positions, cost, and texts of any size."""

import json
import random

import pytest
from django.db import connection

from rlm_runs.analysis import filters, search
from rlm_runs.models import Rollout, Text
from tests.factories.traces import Story, make_experiment, play_all, play_rlm

pytestmark = pytest.mark.django_db


@pytest.fixture
def rollout():
    return make_experiment(scaffolds=("rlm",), examples=1).rollouts().get()


def found(said):
    return set(Rollout.objects.filter(filters.condition(filters.parse(said))))


def hits(rollout, said):
    return [
        (hit.source, hit.turn, hit.cell, hit.kind)
        for hit in search.hits(search.find(said), [rollout.pk], of_each=20)
    ]


def tell(rollout):
    story = Story(rollout)
    root = story.root(prompt="Count the zebras.")
    story.cell(
        root, "import re\nfirst_step = re.findall(r'gnu', context)", "an okapi", said="A wombat comes first."
    )
    turn = story.turn(root, "Now the sub-LLMs.", reasoning="Perhaps a quokka.")
    cell = story.start_cell(root, turn, 'answers = llm_batch(prompts)\nprint("numbat")')
    story.sub(cell, prompt="Where is the tapir?", answer="In the aardvark house.")
    story.end_cell(cell, "\x1b[0;31mPangolinError\x1b[0m: axolotl", answer="capybara", ready=False)
    story.turn(root, "", reply="Use a lemur cell.")
    return story.end(
        root, reward=None, answer="the echidna", stop_reason="model_error", error="a narwhal broke off"
    )


def test_words_are_found_wherever_they_stand(rollout):
    tell(rollout)
    for word, place in {
        "zebras": ("opening", None, None, "root"),
        "wombat": ("turn_content", 1, None, "root"),
        "gnu": ("execution_arguments", 1, 1, "root"),
        "okapi": ("execution_output", 1, 1, "root"),
        "quokka": ("turn_reasoning", 2, None, "root"),
        "numbat": ("execution_arguments", 2, 2, "root"),
        "tapir": ("opening", None, None, "sub"),
        "aardvark": ("turn_content", 1, None, "sub"),
        "axolotl": ("execution_output", 2, 2, "root"),
        "PangolinError": ("execution_output", 2, 2, "root"),
        "capybara": ("execution_answer", 2, 2, "root"),
        "lemur": ("turn_reply", 3, None, "root"),
        "echidna": ("trajectory_answer", None, None, "root"),
        "narwhal": ("error", None, None, ""),
        "brown": ("example_prompt", None, None, ""),
    }.items():
        assert found(word) == found(word.upper()) == {rollout}, word
        assert place in hits(rollout, word), (word, hits(rollout, word))
    assert found("unicorn") == set()
    assert found("Recursive") == set(), "system prompts are the same in every rollout"


def test_identifiers_are_found_by_the_whole_and_by_parts(rollout):
    tell(rollout)
    for said in (
        "llm_batch",
        "llm_batch(prompts)",
        "first_step",
        "re.findall",
        "findall",
        "answers",
        '"import re"',
    ):
        assert found(said) == {rollout}, said
    for said in ("findal*", "numb*", '"answers llm_ba*"'):
        assert found(said) == {rollout}, said
    for said in ("findal", "batch_llm", '"step first"', "nanswers", "prompts_llm"):
        assert found(said) == set(), said


def test_phrases_hold_beyond_the_words_that_the_index_places(rollout):
    story = Story(rollout)
    root = story.root()
    filler = " ".join(f"{number:x}" for number in range(16_600))
    story.cell(root, "1", f"{filler} purple hippo " + "purple " * 300 + "green hippo")
    story.end(root, reward=1.0)
    assert found('"purple hippo"') == found('"green hippo"') == {rollout}
    assert found('"hippo green"') == found('"purple green hippopotamus"') == set()


def test_snippets_show_the_words(rollout):
    tell(rollout)
    (hit,) = search.hits(search.find("numbat"), [rollout.pk])
    assert "llm_batch(prompts)" in hit.snippet
    assert len(hit.snippet) <= 300


def test_a_rollout_shows_its_first_places_only(rollout):
    story = Story(rollout)
    root = story.root()
    for number in range(5):
        story.cell(root, f"zebra = {number}", f"zebra {number}")
    story.end(root, reward=1.0)
    assert [hit.turn for hit in search.hits(search.find("zebra"), [rollout.pk])] == [1, 1]
    assert search.hits(search.find("zebra"), [rollout.pk + 1]) == []


def hostile_texts():
    dice = random.Random(3)
    wide = [chr(number) for number in range(0x10400, 0x10428)] + [
        chr(0x20000 + number) for number in range(40_000)
    ]
    yield "a" * 3_000_000
    yield "".join(dice.choice("0123456789abcdef") for _ in range(2_000_000))
    yield " ".join(wide) * 20
    yield "-".join(wide) * 20
    yield ".".join(wide) * 20
    yield " ".join(f"{number:x}" for number in range(400_000))
    yield " ".join(chr(0x4E00 + number % 20_000) + chr(0x20000 + number) for number in range(40_000))
    yield "https://" + "/".join(f"{number}.example.com" for number in range(50_000))
    yield "İ" * 200_000 + " Ⱥ" * 200_000
    yield json.dumps("\x00\ud800\x1a" * 50_000)
    yield "\x00\ud800\x1a" * 100_000
    yield "\x1b[31m" * 100_000
    yield "\\" * 200_000
    yield "<a " * 200_000 + "&amp;" * 100_000


@pytest.mark.parametrize("number", range(14))
def test_no_text_is_too_much_for_the_index(number):
    body = list(hostile_texts())[number]
    (key,) = Text.objects.keep([f"findme {body}"])
    assert Text.objects.read([key])[key] == f"findme {body}"
    where, parameters = search._matches(search.phrase("findme"))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM rlm_runs_text WHERE {where}", parameters)
        assert cursor.fetchone() == (1,)


def plan(statement, parameters):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
        cursor.execute(f"EXPLAIN {statement}", parameters)
        return "\n".join(row[0] for row in cursor.fetchall())


def test_every_way_is_an_index(rollout):
    sought = search.phrase('llm_batch "a phrase"')
    where, parameters = search._matches(sought)
    said = plan(f"SELECT sha256 FROM rlm_runs_text WHERE {where}", parameters)
    said += plan(*search.rollouts_sql(sought, [b"1" * 32]))
    assert "Seq Scan" not in said, said
    for index in ("text_words", "trajectory_opening_texts", "rollout_error_words", "rlm_runs_turn_content_id"):
        assert index in said, index


def test_what_stands_everywhere_is_asked_of_each_rollout(rollout, monkeypatch):
    """The same rollouts and positions, found without the index."""
    tell(rollout)
    make_experiment(name="other", scaffolds=("rlm",), examples=2)
    said = [
        "llm_batch",
        '"answers llm_ba*"',
        "narwhal",
        "tapir",
        "zebras",
        "capybara",
        "brown",
        "unicorn",
        "okapi",
    ]
    rare = [(found(one), found(f"-{one}"), sorted(map(str, hits(rollout, one)))) for one in said]
    monkeypatch.setattr(search, "MOST_TEXTS", 0)
    for one, before in zip(said, rare, strict=True):
        assert search.find(*filters.parse(one).words).is_common == (one not in ("narwhal", "unicorn"))
        assert (found(one), found(f"-{one}"), sorted(map(str, hits(rollout, one)))) == before, one


def test_a_text_of_many_rollouts_is_common(rollout, monkeypatch):
    make_experiment(name="other", scaffolds=("llm", "rlm"), examples=1)
    assert not search.find("fox").is_common
    monkeypatch.setattr(search, "MOST_ROLLOUTS", 2)
    assert search.find("fox").is_common
    assert len(found("fox")) == 3


def test_a_search_is_broken_off(rollout, monkeypatch):
    monkeypatch.setattr(search, "SECONDS", 0.01)
    with pytest.raises(search.TooSlow), search.bounded(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(5)")


@pytest.mark.parametrize("said", ["!!!", "", "_", "x" * 201, "\x00"])
def test_what_no_text_can_have(said):
    with pytest.raises(search.NotSearchable):
        search.phrase(said)


def test_queries_do_not_grow_with_hits(django_assert_num_queries):
    experiment = make_experiment(scaffolds=("rlm",), examples=4)
    for rollout in experiment.rollouts():
        play_rlm(rollout)
    pks = list(experiment.rollouts().values_list("pk", flat=True))
    matches = search.find("llm_batch")
    with django_assert_num_queries(2):
        assert len(search.hits(matches, pks)) == 8


def test_the_page_shows_where_words_stand(client, django_user_model):
    client.force_login(django_user_model.objects.create(username="ada"))
    experiment = make_experiment()
    play_all(experiment)
    page = client.get("/rollouts/?q=llm_batch+scaffold:rlm_tips").content.decode()
    assert "<mark>llm_batch</mark>" in page
    rollout = experiment.rollouts().filter(arm__scaffold="rlm_tips").first()
    assert f'href="/rollouts/{rollout.pk}/#turn-' in page
    assert "In[" in page
    hostile = client.get("/rollouts/?q=alert").content.decode()
    assert "<mark>alert</mark>" in hostile
    assert "<script>alert" not in hostile
