"""The Models page: what can be called, at what price, and how it has answered."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from dashboard.served_models.overview import overview
from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.execution import probe_queue
from rlm_runs.execution.endpoints import find_model
from rlm_runs.models import ModelHour, ModelProbe
from tests.engine.test_probe import Server
from tests.scripted_server import Reply, ScriptedServer, error_body


@pytest.fixture
def lab(tmp_path, settings):
    """An endpoints file with the model `m` of an endpoint `lab` at an address."""

    def written(url="http://127.0.0.1:9/v1", more=""):
        path = tmp_path / "endpoints.toml"
        path.write_text(
            f'[lab]\ntitle = "The lab"\nbase_url = "{url}"\nconcurrency = 20\n{more}\n'
            'models = [{ name = "m", window = 10000 }, { name = "gpt-4o" }]\n'
        )
        settings.RLM_ENDPOINTS_FILE = path
        settings.RLM_EXTRA_MODELS = []

    return written


def hours(model, *, ago, calls, errors=0, cost="1", tokens=600, seconds=20, unpriced=0):
    at = timezone.now() - ago
    ModelHour.objects.create(
        model=model,
        hour=at.replace(minute=0, second=0, microsecond=0),
        writer=f"w{ago}",
        calls=calls,
        errors=errors,
        unpriced=unpriced,
        completion_tokens=tokens,
        seconds=seconds,
        cost=Decimal(cost),
        last_at=at,
    )


def row_of(name):
    return next(row for rows in overview().endpoints for row in rows.models if row.name == name)


def text(reader):
    return reader.get("/models/").content.decode()


def test_periods_end_where_they_say(db, lab):
    lab()
    hours("m", ago=timedelta(hours=2), calls=100, errors=3)
    hours("m", ago=timedelta(days=3), calls=1000, errors=1, tokens=100, seconds=50)
    hours("m", ago=timedelta(days=40), calls=5000, cost="7.5", unpriced=10)
    calls = row_of("m").calls
    assert (calls.day.calls, calls.day.error_rate) == (100, 0.03)
    assert (calls.week.calls, calls.week.errors) == (1100, 4)
    assert (calls.calls, calls.spend, calls.unpriced) == (6100, Decimal("9.5"), 10)
    assert (calls.day.tokens_per_second, calls.week.tokens_per_second) == (30, 10)
    assert row_of("gpt-4o").calls.last_at is None


def test_it_shows_window_limits_price_and_their_sources(reader, db, lab, settings):
    page = text(reader)
    assert "genai-prices" in page
    assert "0.25" in page
    assert "gpt-5-mini" in page
    lab()
    page = text(reader)
    assert "no list prices" in page
    assert "unpriced" in page
    assert "20 at once" in page
    assert "10k" in page or "10.0k" in page


def test_numbers_link_to_their_rollouts_and_errors(reader, db, lab):
    lab()
    hours("m", ago=timedelta(hours=1), calls=50, errors=5)
    page = text(reader)
    assert "10.0 %" in page
    for address in ("/rollouts/?q=model%3Am", "/rollouts/?q=model%3Am+stop%3Amodel_error%2Cbad_completion"):
        assert address in page.replace("%22m%22", "m").replace("%22", "")
        assert reader.get(address).status_code == 200


def test_models_that_are_gone_keep_their_numbers(reader, db, lab):
    lab()
    hours("<b>old</b>", ago=timedelta(days=90), calls=12, cost="3.25")
    page = text(reader)
    assert "No longer served" in page
    assert "&lt;b&gt;old" in page
    assert "$3.25" in page


def test_without_a_real_endpoint_it_says_how_to_add_one(reader, db, tmp_path, settings):
    path = tmp_path / "endpoints.toml"
    path.write_text("")
    settings.RLM_ENDPOINTS_FILE = path
    settings.RLM_EXTRA_MODELS = []
    assert "No endpoint serves a real model" in text(reader)


def test_two_queries_whatever_the_store(reader, db, lab, django_assert_num_queries):
    lab()
    for number in range(30):
        hours("m", ago=timedelta(hours=number), calls=5)
        hours(f"m{number}", ago=timedelta(hours=1), calls=5)
    with django_assert_num_queries(2):
        overview()


def test_nothing_is_sent_while_nothing_changed(reader, db, lab):
    lab()
    page = text(reader)
    version = page.split("models/live/?version=")[1].split('"')[0]
    assert reader.get("/models/live/", {"version": version}).status_code == 204
    hours("m", ago=timedelta(hours=1), calls=5)
    assert reader.get("/models/live/", {"version": version}).status_code == 200


def test_the_same_as_json(reader, db, lab):
    lab()
    hours("m", ago=timedelta(hours=1), calls=50, errors=5, cost="0.1")
    found = json.loads(reader.get("/api/models/").content)["endpoints"][0]
    model = found["models"][0]
    assert (found["name"], found["provider"], found["limits"]["concurrency"]) == ("lab", "", 20)
    assert (model["name"], model["window"], model["price"], model["day"]["error_rate"]) == ("m", 10000, None, 0.1)
    assert Decimal(model["spend"]) == Decimal("0.1")
    assert reader.get(model["errors"]).status_code == 200


def test_the_button_asks_for_a_probe_that_a_worker_does(reader, db, lab):
    with ScriptedServer(Server()) as server:
        lab(server.url)
        response = reader.post(reverse("model-probe"), {"model": "m"})
        assert response.url == "/models/#lab"
        assert "waits for a worker" in text(reader)
        reader.post(reverse("model-probe"), {"model": "m"})
        waiting = ModelProbe.objects.get()  # asked for once
        claimed = probe_queue._claim()
        assert claimed == waiting
        assert probe_queue._claim() is None
        assert 'class="status running"' in text(reader)
        probe_queue.run(claimed, control=CancellationToken())
    page = text(reader)
    for name in ("tools", "parallel calls", "reasoning", "usage", "caching", "too long"):
        assert f">{name}</span>" in page
    assert {finding["verdict"] for finding in ModelProbe.objects.get().findings} == {"yes"}


def test_an_unknown_model_is_not_probed(reader, db, lab):
    lab()
    assert reader.post(reverse("model-probe"), {"model": "nothing"}).status_code == 400
    assert not ModelProbe.objects.exists()


def test_a_server_that_is_away_is_told_in_its_words(reader, db, lab):
    with ScriptedServer(lambda _: Reply(401, error_body("<i>no such key</i>"))) as server:
        lab(server.url)
        found = probe_queue.request(find_model("m"))
        probe_queue.run(found, control=CancellationToken())
    page = text(reader)
    assert "&lt;i&gt;no such key" in page


def test_a_probe_that_is_cut_off_waits_again(db, lab):
    control = CancellationToken()
    with ScriptedServer(Server()) as server:
        lab(server.url)
        probe_queue.request(find_model("m"))
        control.stop("interrupted")
        probe_queue.run(probe_queue._claim(), control=control)
    found = ModelProbe.objects.get()
    assert (found.started_at, found.finished_at) == (None, None)
    assert probe_queue._claim() == found


def test_a_probe_whose_worker_died_is_done_again(db, lab):
    lab()
    probe_queue.request(find_model("m"))
    found = probe_queue._claim()
    ModelProbe.objects.update(started_at=timezone.now() - timedelta(hours=1))
    assert probe_queue._claim() == found


def test_the_command_probes_here_and_keeps_the_result(db, lab, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "y")
    asked = []
    with ScriptedServer(Server()) as server:
        lab(server.url)
        call_command("probe", "m", window=True)
    said = capsys.readouterr().out
    assert "parallel calls: yes" in said
    assert "80,000 prompt tokens, of unknown cost" in asked[0]
    found = ModelProbe.objects.get()
    assert found.finished_at is not None
    assert found.window
    with pytest.raises(CommandError, match="there is no model 'x'; there are: gpt-4o, m"):
        call_command("probe", "x")


def test_the_command_says_that_a_model_cannot_be_reached(db, lab):
    lab()
    with pytest.raises(CommandError, match="m cannot be reached"):
        call_command("probe", "m")
