"""DeepDive's generated questions are solvable by reading the pages with search and open."""

import re

import pytest

from rlm_runs.engine.environments.base import DataError
from rlm_runs.engine.environments.deepdive import DeepDive, DeepDiveSettings
from rlm_runs.engine.environments.deepdive_graph import graph
from rlm_runs.engine.environments.deepdive_vocabulary import RELATIONS
from rlm_runs.engine.environments.page_cuts import MAX_CHARS

WORLD = graph(pages=400, seed=1)
TEXTS = {page.title: page.text for page in WORLD.pages}


def load(n=10, seed=3, **settings):
    return DeepDive(DeepDiveSettings(**settings)).load(n=n, seed=seed)


def tools():
    return {tool.name: tool.call for tool in DeepDive(DeepDiveSettings()).tools()}


def year_of(name):
    return int(re.search(r"(?:in|held in) (\d{4})\.", TEXTS[name]).group(1))


def starts(sentence):
    """Titles of pages that fit a question's first sentence, from the text alone."""
    sort, told = re.match(
        r"An? (.+?) ((?:collected|has|is known|tells|rewards|was (?:born|founded|first|finished)).+)\.", sentence
    ).groups()
    found = []
    for title, text in TEXTS.items():
        decade = re.search(r"the (\d{3})0s", told)
        detail = re.sub(r"(?: and )?was (?:born|founded|first mentioned|first held|finished) in the .*", "", told)
        is_sort = re.search(rf" (?:is|was) an? {sort}\.", text)
        if is_sort and detail in text and (not decade or str(year_of(title)).startswith(decade.group(1))):
            found.append(title)
    return found


def followed(trail):
    """Follows a trail by reading the pages and returns its end."""
    first, *hops = re.findall(r"[^.?]+[.]", trail)
    (here,) = starts(first.strip())
    for hop in hops:
        relation = next(
            r for r in RELATIONS if r.question == hop.strip() and re.search(pattern(r, here), TEXTS[here])
        )
        here = re.search(pattern(relation, here), TEXTS[here]).group(1)
    return here


def pattern(relation, name):
    return re.escape(relation.page.format(name=name, target="@")).replace("@", r"([^.]+)")


@pytest.mark.parametrize("seed", range(4))
def test_two_trails_lead_to_the_answer_by_the_pages_alone(seed):
    for example in load(n=20, seed=seed, trails=2):
        ends = [followed(trail) for trail in re.findall(r"^Trail \d: (.+)$", example.prompt, re.M)]
        assert min(ends, key=year_of) == example.answer


@pytest.mark.parametrize("seed", range(4))
def test_one_trail_leads_to_the_name_or_the_year(seed):
    asks = set()
    for example in load(n=20, seed=seed, trails=1):
        trail = example.prompt.splitlines()[0]
        asks.add(example.metadata["asks"])
        end = followed(re.sub(r"[^.]+\?$", "", trail))
        assert example.answer == (str(year_of(end)) if example.metadata["asks"] == "year" else end)
    assert asks == {"name", "year"}


def test_no_question_names_a_thing():
    for example in load(n=40):
        assert not any(title in example.prompt for title in TEXTS)


def test_names_are_distinct_and_none_is_a_part_of_another():
    names = list(TEXTS)
    assert len(names) == len(WORLD.things)
    assert not any(one != other and one in other for one in names for other in names)


def test_hops_are_as_many_as_asked_for():
    for example in load(hops_min=2, hops_max=2, trails=3):
        assert example.metadata["hops"] == 6


def test_a_world_that_is_too_small_says_what_to_change():
    with pytest.raises(DataError, match="raise `pages`, `trails` or `hops_max`"):
        load(n=3000, pages=100, trails=1, hops_max=1)


def test_search_finds_the_page_that_holds_the_words_and_open_shows_it():
    thing = WORLD.things[7]
    found = tools()["search"](query=f"{thing.sort} {thing.detail}")
    assert thing.url in found
    assert found.startswith("1. ")
    assert len(re.findall(r"URL: https://", found)) <= 10
    text = tools()["open"](urls=[thing.url])
    assert f"{thing.name} {thing.detail}." in text
    assert "Linked pages:" in text


def test_every_link_of_a_page_opens():
    urls = re.findall(r"https://\S+", f"{WORLD.pages[3].text}\n{WORLD.pages[200].text}")
    opened = tools()["open"](urls=urls)
    assert urls
    assert "Error" not in opened


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"urls": ["https://atlas.example/nowhere"]}, "no page at this address"),
        ({"urls": []}, "`urls` is empty"),
        ({"urls": ["x"] * 11}, "at most 10"),
        ({"urls": [7, None]}, "no page at this address"),
        ({"urls": WORLD.pages[0].url}, WORLD.pages[0].title),
    ],
)
def test_open_says_what_is_wrong(arguments, says):
    assert says in tools()["open"](**arguments)


@pytest.mark.parametrize("query", ["", "zzzz", "the of and", "\x00" * 10, "cartographer " * 5000])
def test_any_query_is_answered(query):
    assert len(tools()["search"](query=query)) <= MAX_CHARS


def test_what_is_returned_is_cut():
    opened = tools()["open"](urls=["https://atlas.example/" + "x" * 30_000] * 3)
    assert len(opened) <= MAX_CHARS


def test_the_judge_is_asked_with_question_ground_truth_and_response():
    environment = DeepDive(DeepDiveSettings())
    example = environment.load(n=1, seed=3)[0]
    asked = environment.judge_prompt(example, "I think it is X.")
    assert example.prompt in asked
    assert f"<ground_truth>\n{example.answer}\n</ground_truth>" in asked
    assert "I think it is X." in asked
    assert environment.max_turns == 50
