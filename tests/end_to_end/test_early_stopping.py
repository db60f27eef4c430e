"""Early stopping by real workers: their sweep ends arms, once, while others of them run rollouts."""

from __future__ import annotations

import signal

from rlm_runs.models import ArmDecision, Rollout

from .test_worker import SMALL

DECIDED_SOON = (
    SMALL.split("scaffolds")[0].replace("examples = 2", "examples = 120")
    + """
scaffolds = ["llm", { name = "llm", max_turns = 3 }]
environments = ["verbatim-copy"]

[early_stopping]
min_examples = 5
margin = 0.9
"""
)
"""Two arms of the same model: a difference below 0.9 is certain after some twenty examples."""


def test_workers_end_decided_arms_and_survive_the_death_of_one(make_system):
    system = make_system()
    experiment = system.launch(DECIDED_SOON)
    first = system.start_worker(concurrency=1)
    system.wait_for(lambda: experiment.rollouts().filter(status=Rollout.Status.COMPLETED).count() >= 4)
    first.send_signal(signal.SIGKILL)
    first.wait()
    system.start_worker(concurrency=1)
    rollouts = system.wait_until_ended(experiment)
    found = {each.arm.position: each for each in ArmDecision.objects.filter(arm__experiment=experiment)}
    assert {at: each.reason for at, each in found.items()} == {0: "unneeded", 1: "equivalent"}
    not_run = [rollout for rollout in rollouts if rollout.stop_reason == "decided"]
    assert len(not_run) == sum(each.rollouts for each in found.values()) > 0
    assert {(rollout.status, rollout.attempt) for rollout in not_run} == {(Rollout.Status.CANCELLED, 0)}
    assert -0.9 < found[1].low < found[1].high < 0.9
    ended = [rollout for rollout in rollouts if rollout.stop_reason != "decided"]
    assert {rollout.status for rollout in ended} == {Rollout.Status.COMPLETED}
    system.manage("check_store")
