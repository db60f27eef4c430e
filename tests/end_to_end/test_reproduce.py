"""`manage.py reproduce` executes stored rollouts again, and says by table, JSON and exit code what differs."""

from __future__ import annotations

import json
import subprocess
import sys

from rlm_runs.models import Execution, Text
from tests.end_to_end.system import ROOT

SPEC = """
name = "reproduce"
examples = 1
seed = 7
models = ["demo-model"]
scaffolds = ["llm", "rlm_tips"]
environments = [{ name = "oolong", context_length_min = 3000, context_length_max = 6000 }]
"""


def reproduce(system, *arguments):
    command = [sys.executable, "manage.py", "reproduce", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=system.variables, capture_output=True, text=True, check=False)


def test_rollouts_of_the_demo_model_are_reproduced(make_system):
    system = make_system()
    experiment = system.launch(SPEC)
    system.start_worker()
    rollouts = system.wait_until_ended(experiment)
    assert {rollout.status for rollout in rollouts} == {"completed"}, [rollout.error for rollout in rollouts]
    for rollout in rollouts:
        done = reproduce(system, rollout.pk, "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["differences"], told["cells"]) == (0, [], rollout.cells)
    changed = max(rollouts, key=lambda rollout: rollout.cells)
    cell = Execution.objects.filter(turn__trajectory__rollout=changed, kind="cell").order_by("pk").first()
    Execution.objects.filter(pk=cell.pk).update(output=Text.objects.keep(["something else\x1b[31m"])[0])
    done = reproduce(system, changed.pk)
    assert done.returncode == 1
    first, head, row = done.stdout.splitlines()
    assert first == f"Rollout {changed.pk}: {changed.cells} cells executed again, 1 difference."
    assert head.split() == ["turn", "cell", "depth", "what", "recorded", "now"]
    assert "printed something else" in row
    assert "something else·[31m" in row


def test_what_cannot_be_reproduced_says_so(make_system):
    system = make_system()
    done = reproduce(system, 77)
    assert (done.returncode, done.stderr.strip()) == (2, "CommandError: there is no rollout 77")
    experiment = system.launch(SPEC)
    rollout = experiment.rollouts().first()
    done = reproduce(system, rollout.pk)
    assert (done.returncode, done.stderr.strip()) == (
        2,
        f"CommandError: rollout {rollout.pk} cannot be reproduced: attempt 0 has no transcript",
    )
