"""Experiments for page tests; their rollouts are played as events through the recorder."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.utils import timezone
from django.utils.text import slugify

from rlm_runs.engine import events
from rlm_runs.execution.recorder import Recorder
from rlm_runs.models import Arm, Example, Experiment, Rollout, Text
from rlm_runs.models.texts import digest

HOSTILE = '<script>alert("x")</script><b>&amp;\x00\x1a\ud800\u202e\x1b[31m</pre></section>'
BATCH_CODE = """\
prompts = [f"Label each line:\\n{chunk}" for chunk in chunks]
answers = llm_batch(prompts)
for number, text in enumerate(answers):
    print(number, text)  # one line each"""
SYSTEM = "You are a Recursive Language Model. You work in a persistent Python REPL."


def make_experiment(
    *,
    name="does it help",
    environments=("verbatim-copy",),
    scaffolds=("llm", "rlm", "rlm_tips"),
    models=("demo-model",),
    examples=3,
    repetitions=1,
    simulated=True,
    description="",
    seed=7,
):
    """An experiment with all its rollouts queued. An environment is a name or (name, settings)."""
    slug = f"{slugify(name)[:60]}-{Experiment.objects.count()}"
    experiment = Experiment.objects.create(slug=slug, name=name, description=description, spec={}, seed=seed)
    position = 0
    for entry in environments:
        environment, settings = (entry, {}) if isinstance(entry, str) else entry
        rows = [_example(environment, settings, number) for number in range(examples)]
        for scaffold in scaffolds:
            for model in models:
                arm = Arm.objects.create(
                    experiment=experiment,
                    position=position,
                    environment=environment,
                    environment_settings=settings,
                    scaffold=scaffold,
                    scaffold_settings={"max_turns": None},
                    model=model,
                    sub_model=model,
                    endpoint="demo",
                    simulated=simulated,
                    settings_hash=digest(repr((experiment.pk, position))),
                )
                position += 1
                Rollout.objects.bulk_create(
                    Rollout(arm=arm, example=row, example_position=number, repetition=repetition)
                    for number, row in enumerate(rows)
                    for repetition in range(repetitions)
                )
    return experiment


def _example(environment, settings, number):
    answer = f"the quick brown fox {number}"
    prompt = f"{environment} {settings}, task {number}: copy the text exactly.\n\n<text>\n{answer}\n</text>"
    context = "\n".join(f"2024-03-{day % 28 + 1:02d} user {day % 7}: message {day}" for day in range(400))
    keys = Text.objects.keep([prompt, answer, context])
    return Example.objects.get_or_create(
        content_hash=digest(prompt + answer),
        defaults={
            "environment": environment,
            "prompt_id": keys[0],
            "answer_id": keys[1],
            "input_data_id": keys[2] if environment == "oolong" else None,
        },
    )[0]


@dataclass
class Story:
    """One attempt of a rollout. Each method plays one or a few events, a `whole` story records all at its end."""

    rollout: Rollout
    backend: str = "process"
    at: datetime = field(default_factory=lambda: timezone.now() - timedelta(minutes=5))
    cost: Decimal | None = Decimal("0.0012345678")
    whole: bool = False

    def __post_init__(self):
        Rollout.objects.filter(pk=self.rollout.pk).update(status="running", attempt=self.rollout.attempt + 1)
        self.rollout.refresh_from_db()
        self._recorder = Recorder(self.rollout)
        self._waiting = []
        self._keys = 0
        self._turns = {}
        self._record(events.RolloutStarted(at=self.at, sandbox_backend=self.backend))

    def _record(self, event):
        self._waiting.append(event)
        if not self.whole or isinstance(event, events.RolloutEnded):
            self._recorder.record_all(self._waiting)
            self._waiting = []

    def _key(self):
        self._keys += 1
        return self._keys

    def _after(self, seconds):
        self.at += timedelta(seconds=seconds)
        return self.at

    def root(self, *, prompt="Copy the text.", tools=()):
        key = self._key()
        opening = [events.Message("system", SYSTEM), events.Message("user", prompt)]
        self._record(
            events.TrajectoryStarted(
                key=key, at=self.at, kind="root", model=self.rollout.arm.model, opening=opening, tools=tools
            )
        )
        return key

    def turn(self, trajectory, content="", *, seconds=1.5, prompt=1200, completion=80, cached=400, **fields):
        index = self._turns.get(trajectory, 0)
        self._turns[trajectory] = index + 1
        usage = events.Usage(
            prompt=prompt, cached=cached, completion=completion, reasoning=fields.pop("reasons", 30)
        )
        fields = {"usage": usage, "cost": self.cost, "price_version": "test", "finish_reason": "stop"} | fields
        self._record(
            events.TurnEnded(
                trajectory=trajectory,
                index=index,
                at=self._after(seconds),
                seconds=seconds,
                content=content,
                **fields,
            )
        )
        return index

    def start_cell(self, trajectory, turn, code, *, position=0, kind="cell", name="call_python_repl", raw=None):
        key = self._key()
        arguments = json.dumps({"code": code}) if raw is None else raw
        self._record(
            events.ExecutionStarted(
                key=key,
                trajectory=trajectory,
                turn=turn,
                position=position,
                at=self.at,
                kind=kind,
                name=name,
                call_id=f"call_{key}",
                arguments=arguments,
            )
        )
        return key

    def end_cell(self, key, output="", *, seconds=0.4, shown=None, **fields):
        shown = f"{output}\n[Execution time: {seconds:.2f}s]" if shown is None else shown
        self._after(seconds)
        fields = {"output_chars": len(output), "cpu_seconds": 0.03, "peak_memory_bytes": 31_000_000} | fields
        self._record(events.ExecutionEnded(key=key, seconds=seconds, output=output, shown=shown, **fields))

    def cell(self, trajectory, code, output="", *, said="", **fields):
        turn = self.turn(trajectory, said, finish_reason="tool_calls")
        key = self.start_cell(trajectory, turn, code)
        self.end_cell(key, output, **fields)
        return key

    def sub(
        self, parent, *, batch=0, position=0, prompt="Label this.", answer="spam", fails="", finish=True, depth=1
    ):
        key = self._key()
        opening = [events.Message("system", "You are a sub-LLM."), events.Message("user", prompt)]
        self._record(
            events.TrajectoryStarted(
                key=key,
                at=self.at,
                kind="sub",
                model=self.rollout.arm.sub_model,
                opening=opening,
                parent=parent,
                batch=batch,
                position=position,
                depth=depth,
            )
        )
        if not finish:
            return key
        if fails:
            self.turn(key, "", error=fails, cost=Decimal(0), usage=events.Usage(), retries=3, retry_seconds=7.5)
            reason, answer = "model_error", ""
        else:
            self.turn(key, f"\\boxed{{{answer}}}", prompt=220, completion=12)
            reason = "final_message"
        self._record(
            events.TrajectoryEnded(key=key, at=self._after(0.2), stop_reason=reason, answer=answer, error=fails)
        )
        return key

    def judge(self, *, verdict="yes"):
        key = self._key()
        opening = [events.Message("user", "Is the answer right?")]
        self._record(events.TrajectoryStarted(key=key, at=self.at, kind="judge", model="a-judge", opening=opening))
        self.turn(key, verdict)
        self._record(
            events.TrajectoryEnded(key=key, at=self._after(0.1), stop_reason="final_message", answer=verdict)
        )

    def end(self, root=None, *, reward=1.0, answer="", stop_reason="answer_ready", **fields):
        if root is not None:
            self._record(
                events.TrajectoryEnded(
                    key=root, at=self.at, stop_reason=stop_reason, answer=answer, error=fields.get("error", "")
                )
            )
        metrics = fields.pop("metrics", {} if reward is None else {"exact_match": float(reward == 1)})
        self._record(
            events.RolloutEnded(
                at=self._after(0.1),
                stop_reason=stop_reason,
                answer=answer,
                reward=reward,
                metrics=metrics,
                **fields,
            )
        )
        self.rollout.refresh_from_db()
        return self.rollout


def play_llm(rollout, *, reward=1.0, **fields):
    """One turn, one answer."""
    story = Story(rollout, backend="", **fields, whole=True)
    root = story.root()
    story.turn(root, f"the quick brown fox {rollout.example_position}", reasons=None)
    return story.end(
        root, reward=reward, answer=f"the quick brown fox {rollout.example_position}", stop_reason="final_message"
    )


def play_rlm(rollout, *, reward=1.0, **fields):
    """Cells with an error, a cut output and a batch of six of which one fails, then an answer in two steps."""
    story = Story(rollout, **fields, whole=True)
    root = story.root(prompt="What is the most common label?\n\nThe data is in `context`.")
    first = "['2024-03-01 user 0: message 0', '2024-03-02 user 1: message 1']"
    story.cell(
        root,
        "lines = context.splitlines()\nprint(len(lines))\nlines[:2]",
        "400",
        said="I will look at the first lines of the context, to see their form.",
        out=first,
        shown=f"400\nOut[1]: {first}\n[Execution time: 0.40s]",
    )
    story.cell(
        root,
        "import re\n\n# records of each line\nrecords = [parse(line) for line in lines]",
        "Traceback (most recent call last):\n  In[2], line 4\nNameError: name 'parse' is not defined",
        error_type="NameError",
        error_message="name 'parse' is not defined",
        answer="",
        ready=False,
    )
    whole = "\n".join(f"{number:5d}  2024-03-01 user {number % 7}: message {number}" for number in range(900))
    story.cell(
        root,
        "print('\\n'.join(lines * 3))",
        whole,
        shown=f"{whole[:8192]}\n... [output truncated: the first 8,192 of {len(whole):,} characters are shown]",
        truncated=True,
        answer="",
        ready=False,
    )
    turn = story.turn(
        root,
        "Now I ask sub-LLMs for the labels, in one batch.",
        finish_reason="tool_calls",
        reasoning="Six chunks are enough: each has about 67 lines.",
    )
    code = BATCH_CODE
    cell = story.start_cell(root, turn, code)
    for position in range(6):
        fails = "429 Too Many Requests: rate limit reached for demo-model" if position == 4 else ""
        story.sub(
            cell,
            position=position,
            prompt=f"Label each line:\nchunk {position}",
            answer=f"spam: {position + 3}, ham: {64 - position}",
            fails=fails,
        )
    story.end_cell(
        cell,
        "llm_batch: 6 call(s) in 11.40s\n"
        + "\n".join(
            f"  [{n}]: 232 tokens, 0 tool calls, 1.70s {'✗ model_error' if n == 4 else '✓'}" for n in range(6)
        ),
        seconds=11.6,
        answer="spam",
        ready=False,
    )
    story.turn(
        root,
        "I have what I need.",
        reply='Set answer["ready"] = True in a cell when your answer is final.',
        finish_reason="stop",
    )
    story.cell(
        root,
        'answer["content"] = "ham"\nanswer["ready"] = True',
        "",
        said="Ham is more common.",
        answer="ham",
        ready=True,
    )
    return story.end(root, reward=reward, answer="ham")


def play_failed(rollout):
    """The endpoint was down."""
    story = Story(rollout, whole=True)
    root = story.root()
    story.cell(root, "print(1)", "1", said="Let me see.")
    story.turn(
        root,
        error="503 Service Unavailable: the engine is overloaded, try again later",
        usage=events.Usage(),
        retries=5,
        retry_seconds=31.0,
        finish_reason="",
    )
    return story.end(
        root,
        reward=None,
        stop_reason="model_error",
        boundary="model",
        error="503 Service Unavailable: the engine is overloaded, try again later",
    )


def play_too_long(rollout):
    """The API refused the prompt."""
    story = Story(rollout, backend="", whole=True)
    root = story.root()
    error = "This model's maximum context length is 16000 tokens. However, your messages resulted in 23712 tokens."
    story.turn(root, error=error, usage=events.Usage(), cost=Decimal(0), finish_reason="")
    return story.end(root, reward=None, stop_reason="prompt_too_long", boundary="model", error=error)


def play_hostile(rollout, *, turns=3):
    """Hostile text in every field that a model or a sandbox can write."""
    story = Story(rollout, whole=True)
    root = story.root(prompt=HOSTILE)
    story.cell(
        root,
        HOSTILE,
        HOSTILE,
        said=HOSTILE,
        error_type=HOSTILE,
        error_message=HOSTILE,
        out=HOSTILE,
        answer=HOSTILE,
        ready=False,
    )
    turn = story.turn(root, HOSTILE, reasoning=HOSTILE, reply="", finish_reason="length")
    cell = story.start_cell(root, turn, "", raw='{"code": ' + HOSTILE, name=HOSTILE)
    story.sub(cell, prompt=HOSTILE, answer=HOSTILE)
    story.sub(cell, position=1, prompt=HOSTILE, fails=HOSTILE)
    line = '"<' * 500_000
    story.end_cell(cell, line, shown=line[:8192], truncated=True, timed_out=True, state_lost=True)
    for _ in range(turns):
        story.cell(root, "1 " * 6000, line[:9000], said=line[:9000])
    return story.end(root, reward=0.0, answer=HOSTILE, metrics={HOSTILE: 0.5, "exact_match": 0.0})


def play_unpriced(rollout):
    """No price is known for the model."""
    return play_llm(rollout, reward=0.0, cost=None)


def play_running(rollout):
    """In a running cell with unfinished sub-LLMs."""
    story = Story(rollout)
    root = story.root()
    story.cell(root, "print(context[:100])", "2024-03-01 user 0: message 0", said="First a look.")
    turn = story.turn(root, "Now the batch.", finish_reason="tool_calls")
    cell = story.start_cell(root, turn, "answers = llm_batch(prompts)")
    story.sub(cell, position=0)
    story.sub(cell, position=1, finish=False)
    return story


def play_second_attempt(rollout):
    """A worker was killed in a cell; another ran a new attempt."""
    story = play_running(rollout)
    Rollout.objects.filter(pk=rollout.pk).update(status="queued")
    rollout.refresh_from_db()
    assert story.rollout.attempt == 1
    return play_rlm(rollout)


def play_all(experiment):
    """A whole experiment with every kind of rollout, by position and scaffold."""
    queued = experiment.rollouts().select_related("arm", "example").order_by("arm__position", "example_position")
    special = {
        ("llm", 1): play_too_long,
        ("llm", 2): play_unpriced,
        ("rlm", 1): play_failed,
        ("rlm", 2): play_hostile,
        ("rlm_tips", 2): play_second_attempt,
    }
    for rollout in queued:
        scaffold, number = rollout.arm.scaffold, rollout.example_position
        play = special.get((scaffold, number))
        if play is not None:
            play(rollout)
        elif scaffold == "llm":
            play_llm(rollout, reward=float((number + rollout.arm.position) % 4 == 0))
        else:
            play_rlm(rollout, reward=float(number % (3 if scaffold == "rlm" else 5) != 0))
