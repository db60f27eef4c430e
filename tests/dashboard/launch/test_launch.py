"""The launch form: an input per setting, an error beside its input, and kept entries."""

import tomllib

import pytest
from django.http import QueryDict

from dashboard.launch.form import as_toml, page, spec_of
from rlm_runs.experiments.launch import Problem, SpecError
from rlm_runs.experiments.plan import resolve
from rlm_runs.models import Experiment
from tests.factories.traces import make_experiment


def given(query):
    return QueryDict(query)


BASE = "name=a&examples=10&seed=7&models=demo-model&scaffolds=llm&scaffolds=rlm&environments=verbatim-copy"


def test_the_form_says_a_spec():
    assert spec_of(given(BASE)) == {
        "name": "a",
        "examples": 10,
        "seed": 7,
        "models": ["demo-model"],
        "scaffolds": ["llm", "rlm"],
        "environments": ["verbatim-copy"],
    }


def test_several_values_make_an_entry_each():
    query = "&environments.verbatim-copy.target_length=250,+500&environments.verbatim-copy.content_type=json"
    entries = spec_of(given(BASE + query))["environments"]
    assert entries == [
        {"name": "verbatim-copy", "content_type": "json", "target_length": 250},
        {"name": "verbatim-copy", "content_type": "json", "target_length": 500},
    ]


def test_none_and_yes_are_words():
    query = (
        "&environments=oolong&environments.oolong.labels=yes&environments.verbatim-copy.mean_fragment_length=none"
    )
    entries = spec_of(given(BASE + query))["environments"]
    assert entries == [
        {"name": "verbatim-copy", "mean_fragment_length": None},
        {"name": "oolong", "labels": True},
    ]


def test_sampling_and_further_models_are_given_only_where_set():
    spec = spec_of(given(BASE + "&sub_model=gpt-5-nano&judge_model=&sampling.temperature=0.5&sampling.top_p="))
    assert spec["sub_model"] == "gpt-5-nano"
    assert "judge_model" not in spec
    assert spec["sampling"] == {"temperature": 0.5}
    assert tomllib.loads(as_toml(spec)) == spec


def test_several_values_of_sampling_make_an_entry_of_each_model():
    query = "&models=gpt-5&sampling.temperature=0.2,+0.8&sampling.reasoning_effort=low,high&sampling.top_p=0.5"
    spec = spec_of(given(BASE + query))
    assert spec["sampling"] == {"top_p": 0.5}
    assert spec["models"] == [
        {"name": model, "temperature": temperature, "reasoning_effort": effort}
        for model in ("demo-model", "gpt-5")
        for temperature in (0.2, 0.8)
        for effort in ("low", "high")
    ]
    assert tomllib.loads(as_toml(spec)) == spec


@pytest.mark.parametrize(
    ("query", "place", "said"),
    [
        ("&sampling.temperature=0.2,9", "sampling.temperature", "must be a number from 0 to 2, not 9"),
        ("&sampling.temperature=warm", "sampling.temperature", "must be a number from 0 to 2, not 'warm'"),
        ("&sampling.temperature=0.2,0.2", "models.demo-model", "makes the same arms as entry 1 of models"),
        ("&scaffolds.rlm.cell_time_limit=120,120.0", "scaffolds.rlm", "makes the same arms as entry 2"),
    ],
)
def test_what_is_wrong_with_an_ablation_is_said_at_its_input(query, place, said):
    data = given(BASE + query)
    with pytest.raises(SpecError) as caught:
        resolve(spec_of(data))
    (placed,) = page(data, caught.value.problems).problems.items()
    assert placed[0] == place
    assert said in placed[1][0]


def test_settings_of_what_is_not_ticked_do_not_count():
    assert spec_of(given(BASE + "&environments.oolong.labels=yes"))["environments"] == ["verbatim-copy"]


def test_the_file_says_the_same():
    spec = spec_of(given(BASE + '&description=a "quoted" \\ one&environments.verbatim-copy.target_length=250,500'))
    assert tomllib.loads(as_toml(spec)) == spec


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("examples", "examples"),
        ("environments[1].target_length", "environments.verbatim-copy.target_length"),
        ("scaffolds[1].cell_time_limit", "scaffolds.rlm.cell_time_limit"),
        ("models[0]", "models.demo-model"),
        ("models[0].temperature", "sampling.temperature"),
        ("models[0].name", "models.demo-model"),
        ("environments[0].name", "environments.verbatim-copy"),
        ("environments", "environments"),
        ("environments[9]", "environments"),
        ("sampling.temperature", "sampling.temperature"),
        ("sampling.extra_body", ""),
        ("judge_model", "judge_model"),
        ("", ""),
    ],
)
def test_a_problem_goes_to_its_input(field, place):
    data = given(BASE + "&environments.verbatim-copy.target_length=250,-1")
    assert page(data, [Problem(field, "is wrong")]).problems == {place: ("is wrong",)}


def test_the_page_has_every_setting(reader):
    html = reader.get("/launch/").content.decode()
    for words in (
        'name="environments.verbatim-copy.target_length"',
        'name="scaffolds.rlm.cell_time_limit"',
        "Length of the text, in characters",
        "simulated model",
        "scaffolds = [&quot;llm&quot;, &quot;rlm&quot;, &quot;rlm_tips&quot;]",
    ):
        assert words in html, words


def test_a_query_string_fills_it(reader):
    html = reader.get(f"/launch/?{BASE}&environments.verbatim-copy.target_length=250").content.decode()
    assert 'value="250"' in html
    assert 'value="verbatim-copy" checked' in html
    assert 'value="oolong" checked' not in html


def test_the_spec_follows_the_form(reader):
    html = reader.get(f"/launch/spec/?{BASE}").content.decode()
    assert "environments = [&quot;verbatim-copy&quot;]" in html
    assert "<html" not in html


def test_launching_goes_to_the_experiment(reader, ada, monkeypatch):
    calls = []

    def launch(spec, *, user, data_dir):
        calls.append((spec, user))
        return make_experiment(name="launched")

    monkeypatch.setattr("dashboard.launch.views.launch", launch)
    response = reader.post("/launch/", dict(given(BASE).lists()))
    assert response.url == Experiment.objects.get().get_absolute_url()
    assert calls == [(spec_of(given(BASE)), ada)]


def test_a_refusal_keeps_everything_and_says_why(reader, monkeypatch):
    def launch(spec, *, user, data_dir):
        raise SpecError([Problem("examples", "must be at least 1"), Problem("scaffolds[1].cell_time_limit", "no")])

    monkeypatch.setattr("dashboard.launch.views.launch", launch)
    response = reader.post("/launch/", dict(given(BASE + "&scaffolds.rlm.cell_time_limit=-5").lists()))
    assert response.status_code == 422
    html = response.content.decode()
    assert "Nothing was launched: 2 problems" in html
    assert html.count("must be at least 1") == 2
    assert 'value="-5"' in html
    assert 'value="verbatim-copy" checked' in html
    assert not Experiment.objects.exists()


def test_a_problem_of_several_arms_is_counted_and_shown_once_at_its_input(reader):
    query = "&sampling.temperature=0.2,9&sampling.reasoning_effort=low,high"
    response = reader.post("/launch/", dict(given(BASE + query).lists()))
    html = response.content.decode()
    assert "Nothing was launched: 1 problem<" in html
    assert html.count("must be a number from 0 to 2, not 9") == 2
    assert 'value="0.2,9" placeholder="not sent" autocomplete="off" spellcheck="false" aria-invalid="true"' in html


@pytest.mark.parametrize(
    "query", ["", "environments=nothing", "models=nothing&examples=1e999", "examples=NaN", "name=%00"]
)
def test_nothing_that_is_sent_breaks_it(reader, query):
    assert reader.get(f"/launch/?{query}").status_code == 200
    assert reader.post("/launch/", dict(given(query).lists())).status_code == 422
    assert not Experiment.objects.exists()


def test_early_stopping_is_off_unless_it_is_ticked_and_its_settings_are_checked():
    settings = "&early_stopping.alpha=0.1&early_stopping.margin=0.05&early_stopping.baseline=rlm"
    assert "early_stopping" not in spec_of(given(BASE + settings))
    spec = spec_of(given(BASE + "&early_stopping=on" + settings))
    assert spec["early_stopping"] == {"alpha": 0.1, "baseline": "rlm", "margin": 0.05}
    assert tomllib.loads(as_toml(spec)) == spec
    assert resolve(spec).spec.early_stopping.alpha == 0.1
    data = given(BASE + "&early_stopping=on&early_stopping.alpha=3&early_stopping.eta=4")
    with pytest.raises(SpecError) as refused:
        resolve(spec_of(data))
    shown = page(data, refused.value.problems)
    assert shown.stops_early
    assert next(each for each in shown.stopping if each.name == "alpha").problems


def test_a_setting_of_the_other_method_is_refused_at_the_box():
    data = given(BASE + "&early_stopping=on&early_stopping.eta=4")
    with pytest.raises(SpecError) as refused:
        resolve(spec_of(data))
    assert (
        "eta is a setting of the method halving"
        in page(data, refused.value.problems).problems["early_stopping"][0]
    )


def test_a_model_that_cannot_be_reached_is_told_and_a_box_launches_all_the_same(reader, db, tmp_path, settings):
    path = tmp_path / "endpoints.toml"
    path.write_text('[lab]\ntitle = "Lab"\nbase_url = "http://127.0.0.1:9/v1"\nmodels = [{ name = "m" }]')
    settings.RLM_ENDPOINTS_FILE = path
    form = BASE_FORM | {"models": "m", "scaffolds": "llm", "environments": "verbatim-copy"}
    refused = reader.post("/launch/", form)
    assert refused.status_code == 422
    assert "m cannot be reached" in refused.content.decode()
    assert 'name="no_probe"' in refused.content.decode()
    assert reader.post("/launch/", form | {"no_probe": "on"}).status_code == 302


BASE_FORM = {"name": "x", "examples": "1", "seed": "0", "repetitions": "1"}


def test_a_budget_is_part_of_the_spec():
    assert "budget" not in spec_of(given(BASE))
    data = given(BASE + "&budget.dollars=12.5&budget.hours=8")
    assert spec_of(data)["budget"] == {"dollars": 12.5, "hours": 8}
    assert resolve(spec_of(data)).spec.written()["budget"] == {"dollars": 12.5, "hours": 8.0}
    data = given(BASE + "&budget.tokens=-3")
    with pytest.raises(SpecError) as refused:
        resolve(spec_of(data))
    assert page(data, refused.value.problems).problems["budget.tokens"]
