"""verbatim-copy: lengths, fragments, content types, and how a copy is scored."""

import statistics

import pytest

from rlm_runs.engine.environments.base import Example
from rlm_runs.engine.environments.verbatim_copy import VerbatimCopy, VerbatimCopySettings


def load(n=10, seed=7, **settings):
    return VerbatimCopy(VerbatimCopySettings(**settings)).load(n=n, seed=seed)


def score(answer, *, gold="abc def"):
    return VerbatimCopy(VerbatimCopySettings()).score(Example(prompt="", answer=gold), answer)


@pytest.mark.parametrize("length", [20, 250, 500, 1000, 5000])
@pytest.mark.parametrize("fragments", [None, 10, 150])
def test_every_text_has_exactly_the_length_asked_for_and_no_space_at_its_edges(length, fragments):
    for example in load(target_length=length, mean_fragment_length=fragments):
        assert len(example.answer) == length
        assert example.answer == example.answer.strip()
        assert f"<text>\n{example.answer}\n</text>" in example.prompt


def test_all_takes_each_content_type_in_turn():
    kinds = [example.metadata["content_type"] for example in load()]
    assert set(kinds) == {"words", "json", "csv", "codes", "mixed"}
    assert kinds[:5] == kinds[5:]


def test_there_is_no_input_data():
    assert all(example.input_data is None for example in load())


def test_fragments_break_words_up_and_without_them_the_text_is_whole():
    def known(text):
        from rlm_runs.engine.environments.vocabulary import WORDS

        return statistics.mean(word in WORDS for word in text.split()[1:-1])

    whole = load(content_type="words", mean_fragment_length=None)
    cut = load(content_type="words", mean_fragment_length=10)
    assert all(known(example.answer) == 1 for example in whole)
    assert all(known(example.answer) < 0.6 for example in cut)


def test_the_copy_scores_one_and_so_does_its_box_or_a_copy_in_white_space():
    for answer in ("abc def", "\nabc def\n", "\\boxed{abc def}"):
        assert score(answer).reward == 1


def test_one_wrong_character_is_no_reward_and_nearly_full_metrics():
    result = score("abc deX")
    assert result.reward == 0
    assert result.metrics == {
        "exact_match": 0,
        "char_accuracy": pytest.approx(6 / 7),
        "levenshtein_similarity": pytest.approx(6 / 7),
    }


def test_a_lost_character_costs_the_accuracy_of_all_after_it_but_one_edit():
    result = score("bc def")
    assert result.metrics["char_accuracy"] == 0
    assert result.metrics["levenshtein_similarity"] == pytest.approx(6 / 7)


def test_a_fence_and_a_comment_are_no_copy():
    assert score("```\nabc def\n```").reward == 0
    assert score("Here it is: abc def").reward == 0
