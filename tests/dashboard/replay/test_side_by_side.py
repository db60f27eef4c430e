"""Two replays side by side."""

import re
from urllib.parse import urlencode

import pytest

from rlm_runs.models import Execution, Rollout
from tests.factories.traces import Story, make_experiment, play_hostile, play_llm, play_rlm

LIMIT = 256_000


def html(reader, address, *, status=200):
    response = reader.get(address)
    assert response.status_code == status, address
    page = response.content.decode()
    assert len(page.encode()) < LIMIT, address
    return page


def pair(a, b, **more):
    return f"/compare/rollouts/?{urlencode({'a': a.pk, 'b': b.pk, **more}, doseq=True)}"


def of(experiment, scaffold, number=0):
    return experiment.rollouts().get(arm__scaffold=scaffold, example_position=number)


@pytest.fixture
def two(queued):
    """LLM and RLM on three examples; the RLM is better on the second only."""
    for rollout in queued.rollouts().exclude(arm__scaffold="rlm_tips").select_related("arm", "example"):
        is_rlm = rollout.arm.scaffold == "rlm"
        play = play_rlm if is_rlm else play_llm
        play(rollout, reward=float(is_rlm and rollout.example_position == 1))
    return queued


def test_it_shows_both_head_to_head(reader, two):
    a, b = of(two, "llm"), of(two, "rlm")
    page = html(reader, pair(a, b))
    for words in (
        "A LLM and B RLM",
        "answer_ready",
        "final_message",
        'id="a-turn-1"',
        'id="b-turn-6"',
        f'href="/rollouts/{a.pk}/"',
        f'href="/rollouts/{b.pk}/"',
        "the quick brown fox 0",
        ">ham</pre>",
        "the same as the gold answer",
    ):
        assert words in page, words
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_json_has_the_same(reader, two):
    a, b = of(two, "llm", 1), of(two, "rlm", 1)
    arms = [a.arm_id, b.arm_id]
    page = html(reader, pair(a, b, arm=arms))
    twin = re.search(r'<a class="button" href="([^"]+)">JSON', page)[1].replace("&amp;", "&")
    said = reader.get(twin).json()
    assert [said[letter]["row"]["id"] for letter in "ab"] == [a.pk, b.pk]
    assert [said[letter]["row"]["reward"] for letter in "ab"] == [0.0, 1.0]
    assert [said[letter]["arm"] for letter in "ab"] == [
        {"id": arms[0], "title": "LLM"},
        {"id": arms[1], "title": "RLM"},
    ]
    assert said["b"]["answer"] == {"text": "ham", "chars": 3}
    assert said["gold"]["text"] == "the quick brown fox 1"
    assert (said["place"], said["examples"], said["is_same_example"], said["previous"]) == (1, 3, True, None)
    assert said["next"] == "/api" + pair(of(two, "llm", 0), of(two, "rlm", 0), arm=arms)
    assert reader.get(said["next"]).json()["place"] == 2
    assert reader.get(said["b"]["trace"]).json()["row"]["id"] == b.pk
    wrong = reader.get(f"/api/compare/rollouts/?a={a.pk}&b={a.pk}")
    assert (wrong.status_code, wrong.json()) == (400, {"error": "a rollout cannot be compared with itself"})


def test_an_answer_is_marked_where_it_differs_from_the_gold_one(reader, queued):
    a, b = of(queued, "llm"), of(queued, "rlm")
    play_llm(a)
    story = Story(b)
    root = story.root()
    story.turn(root, "")
    story.end(root, reward=0.0, answer="the quick red fox 0")
    assert "the quick <del>brown</del><ins>red</ins> fox 0" in html(reader, pair(a, b))


def test_it_walks_along_the_matrix_that_one_came_from(reader, two):
    llm, rlm = two.arms.all()[:2]
    a, b = of(two, "llm", 1), of(two, "rlm", 1)
    page = html(reader, pair(a, b, arm=[llm.pk, rlm.pk]))
    assert "1 of 3" in page  # the greatest disagreement comes first
    assert 'rel="prev"' not in page
    following = re.search(r'<a rel="next" href="([^"]+)"', page)[1].replace("&amp;", "&")
    assert following == pair(of(two, "llm", 0), of(two, "rlm", 0), arm=[llm.pk, rlm.pk])
    assert 'rel="prev"' in html(reader, following)
    only = html(reader, pair(a, b, arm=[llm.pk, rlm.pk], show="b"))
    assert "1 of 1" in only
    assert "rel=" not in only.replace('rel="icon"', "").replace('rel="stylesheet"', "")
    elsewhere = html(reader, pair(of(two, "llm", 0), of(two, "rlm", 0), show="b"))
    assert "not in this matrix" in elsewhere
    assert 'rel="next"' in elsewhere
    assert "3 of 3" in html(reader, pair(of(two, "llm", 2), of(two, "rlm", 2), sort="example"))


def test_the_same_repetition_is_next(reader):
    experiment = make_experiment(scaffolds=("llm", "rlm"), repetitions=2)
    a, b = (
        experiment.rollouts().get(arm__scaffold=name, example_position=0, repetition=1) for name in ("llm", "rlm")
    )
    page = html(reader, pair(a, b, sort="example"))
    c, d = (
        experiment.rollouts().get(arm__scaffold=name, example_position=1, repetition=1) for name in ("llm", "rlm")
    )
    assert f"a={c.pk}&amp;b={d.pk}" in page
    assert "A LLM r1" in page


def test_rollouts_without_transcripts_have_their_outcome(reader, queued):
    a, b = of(queued, "llm"), of(queued, "rlm")
    Rollout.objects.filter(pk=a.pk).update(status="completed", stop_reason="imported", reward=1.0, attempt=1)
    page = html(reader, pair(a, b))
    assert "No transcript was recorded" in page
    assert "Nothing has happened yet." in page
    assert "not yet" in page


def test_other_arms_of_the_example_can_take_a_side(reader, played):
    a, b = of(played, "llm"), of(played, "rlm")
    tips = of(played, "rlm_tips")
    arms = list(played.arms.values_list("pk", flat=True))
    page = html(reader, pair(a, b, arm=arms))
    assert f"a={tips.pk}&amp;b={b.pk}" in page
    assert f"a={a.pk}&amp;b={tips.pk}" in page


def test_different_examples_are_said(reader, two):
    page = html(reader, pair(of(two, "llm", 0), of(two, "rlm", 1)))
    assert "two different examples" in page


def test_arms_of_different_experiments(reader, two):
    other = make_experiment(name="other", scaffolds=("rlm",), models=("gpt",))
    for rollout in other.rollouts().select_related("arm", "example"):
        play_llm(rollout)
    page = html(reader, pair(of(two, "llm"), of(other, "rlm")))
    assert "of 3" in page
    assert "two different examples" not in page


@pytest.mark.parametrize("query", ["", "a=1", "a=x&b=1", "a=0&b=1"])
def test_what_is_not_understood_is_refused(reader, two, query):
    html(reader, f"/compare/rollouts/?{query}", status=404 if query == "a=1" else 400)


def test_it_does_not_compare_a_rollout_with_itself_or_with_nothing(reader, two):
    a = of(two, "llm")
    html(reader, pair(a, a), status=400)
    html(reader, f"/compare/rollouts/?a={a.pk}&b=987654321", status=404)


def test_long_and_hostile_conversations_keep_within_the_limit(reader, queued):
    a, b = of(queued, "rlm"), of(queued, "rlm_tips")
    play_hostile(a, turns=40)
    play_hostile(b, turns=40)
    page = html(reader, pair(a, b))
    assert "<script>alert" not in page
    assert "&amp;from_a=21#a-turn-21" in page
    assert len(reader.get("/api" + pair(a, b)).content) < 256_000
    second = html(reader, pair(a, b, from_a=21))
    assert 'id="a-turn-21"' in second
    assert 'id="b-turn-1"' in second
    assert Execution.objects.count() > 80


def test_queries_do_not_grow(reader, two, django_assert_max_num_queries):
    larger = make_experiment(name="larger", examples=12, scaffolds=("llm", "rlm"), models=("m",))
    for rollout in larger.rollouts().filter(example_position=0).select_related("arm", "example"):
        play_llm(rollout)
    for experiment in (two, larger):
        with django_assert_max_num_queries(22):
            html(reader, pair(of(experiment, "llm"), of(experiment, "rlm")))


def test_the_replay_page_leads_here(reader, two):
    a, b = of(two, "llm"), of(two, "rlm")
    assert f"/compare/rollouts/?a={a.pk}&amp;b={b.pk}" in html(reader, f"/rollouts/{a.pk}/")
