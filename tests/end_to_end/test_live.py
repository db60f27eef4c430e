"""A running rollout as its readers see it, and how it ends while its model is asked."""

from __future__ import annotations

import json
import time

import pytest

from rlm_runs.execution import control
from rlm_runs.models import LiveView, Rollout, Turn
from tests.end_to_end.test_worker import FOREIGN
from tests.scripted_server import Held, ScriptedServer, Streamed, cell, event

ONE = FOREIGN.replace("examples = 2", "examples = 1")
STREAMED = ONE.replace('"some-model"', '{ name = "some-model", stream = true }')
CODE = 'for n in range(6):\n    print("step", n, flush=True)\n    import time; time.sleep(1)'


@pytest.fixture
def reader(transactional_db, client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("ada"))
    return client


def models(server):
    return {
        "OPENAI_BASE_URL": server.url,
        "RLM_EXTRA_MODELS": "some-model",
        "RLM_PROCESS_SANDBOX_MODELS": "some-model",
    }


def launch(system, spec):
    """Launches without asking the model first: its answers are for the rollout."""
    path = system.var_dir / "spec.toml"
    path.write_text(spec)
    return system.launch_by(str(path), "--no-probe")


def slowly():
    """Five seconds of a model that thinks, talks, and writes a cell, with the times at which it sent what."""
    arguments = json.dumps({"code": CODE})
    yield event({"role": "assistant", "reasoning": "Let me think <b>hard</b>."})
    yield 2.5
    yield event({"content": "I will count."})
    yield 2.5
    half = len(arguments) // 2
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "call_python_repl", "arguments": ""}}
    yield event({"tool_calls": [call]})
    yield event({"tool_calls": [{"index": 0, "function": {"arguments": arguments[:half]}}]})
    yield 2.5
    yield event({"tool_calls": [{"index": 0, "function": {"arguments": arguments[half:]}}]})
    yield event({}, finish="tool_calls")
    yield event(usage={"prompt_tokens": 100, "completion_tokens": 50})
    yield "data: [DONE]\n\n"


def test_text_and_output_are_shown_while_they_arrive(make_system, reader):
    answers = [Streamed(slowly()), cell('answer["content"] = "x"; answer["ready"] = True')]
    with ScriptedServer(lambda _: answers.pop(0)) as server:
        system = make_system(**models(server))
        experiment = launch(system, STREAMED)
        rollout = experiment.rollouts().get()
        reader.get(rollout.get_absolute_url())  # the first page of a process takes its time
        system.start_worker()
        system.wait_for(lambda: server.requests)

        def page():
            return reader.get(f"/rollouts/{rollout.pk}/now/").content.decode()

        seen = {}
        wanted = {
            "reasoning": "Let me think &lt;b&gt;hard&lt;/b&gt;.",
            "content": "I will count.",
            "code": "for n in range(6):\n",
            "output": "step 0",
            "more output": "step 3",
        }
        assert not LiveView.objects.exists()  # nobody looks yet, so nothing is written
        began = time.monotonic()
        while len(seen) < len(wanted):
            assert time.monotonic() - began < 30, (seen, page())
            shown = page()
            for name, text in wanted.items():
                if name not in seen and text in shown:
                    seen[name] = time.monotonic() - began
            if "code" in seen and "output" not in seen and not Turn.objects.exists():
                assert "Turn 1" in shown
            time.sleep(0.2)
        # Each is seen within two seconds after the server sent it, and some more on a busy machine.
        assert seen["reasoning"] < 10
        assert seen["content"] < 2.5 + 10
        assert seen["code"] < 5 + 10
        assert seen["output"] < 7.5 + 15  # the sandbox starts
        (ended,) = system.wait_until_ended(experiment)
        turn = Turn.objects.order_by("pk").first()
        assert turn.first_token_seconds < 10
        assert turn.tokens_per_second == pytest.approx(49 / 7.5, rel=0.5)
        assert ended.first_token_seconds == turn.first_token_seconds
        system.wait_for(lambda: not LiveView.objects.exists(), seconds=5)  # what has ended is only in the trace
        assert "Turn 1" not in page()
        system.manage("check_store")


@pytest.mark.parametrize("spec", [ONE, STREAMED], ids=["in one piece", "streamed"])
def test_cancelling_ends_a_call_in_flight_within_three_seconds(make_system, spec):
    def script(request):
        return Streamed([event({"content": "a"}), 60]) if "stream" in request else Held(60)

    with ScriptedServer(script) as server:
        system = make_system(**models(server))
        experiment = launch(system, spec)
        system.start_worker()
        system.wait_for(lambda: server.requests)
        began = time.monotonic()
        control.cancel(experiment)
        (rollout,) = system.wait_until_ended(experiment, seconds=3)
        system.wait_for(lambda: server.disconnects, seconds=1)
        assert server.disconnects[0] - began < 3
        turn = Turn.objects.get()
    assert (rollout.status, rollout.stop_reason) == ("cancelled", "cancelled")
    assert (turn.error, turn.cost, rollout.cost) == ("the rollout was cancelled", None, None)
    system.manage("check_store")


def test_a_worker_that_stops_does_not_wait_for_its_models(make_system):
    with ScriptedServer(lambda _: Held(60)) as server:
        system = make_system(**models(server))
        experiment = launch(system, ONE)
        worker = system.start_worker()
        system.wait_for(lambda: server.requests)
        began = time.monotonic()
        worker.terminate()
        worker.wait(timeout=15)
        assert server.disconnects[0] - began < 3
    assert experiment.rollouts().get().status == Rollout.Status.QUEUED
