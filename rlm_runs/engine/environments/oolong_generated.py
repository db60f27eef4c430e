"""Oolong's generated subset: dated messages of users, each of one kind, and questions about all of them.

A reader understands the kind of a message, but no fixed word reveals it. The labels must be inferred, and counting
them takes reading every message.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from .oolong_messages import TOPICS, Topic

FIRST_DAY = date(2024, 1, 1)


@dataclass(frozen=True)
class Message:
    """One line of the context window."""

    day: date
    user: int
    text: str
    label: str

    def line(self, *, labels: bool) -> str:
        said = f"Date: {self.day:%b %d, %Y} || User: {self.user} || Message: {self.text}"
        return f"{said} || Label: {self.label}" if labels else said


@dataclass(frozen=True)
class Question:
    """A generated question. `kind` is what figures group by; `answer_type` selects the scoring rule."""

    kind: str
    answer_type: str
    text: str
    answer: str


@dataclass(frozen=True)
class Window:
    """The messages of one example, all of one topic."""

    topic: Topic
    messages: Sequence[Message]

    def text(self, *, labels: bool) -> str:
        return "\n".join(message.line(labels=labels) for message in self.messages)


def window(rng: random.Random, *, characters: int, labels: bool) -> Window:
    """Returns messages whose total length is as close to `characters` as whole messages allow, and at
    least three.
    """
    topic = rng.choice(list(TOPICS.values()))
    kinds = list(topic.labels)
    # Uneven shares. With even ones, every "most frequent" would be decided by one or two messages.
    weights = [rng.uniform(0.4, 2.0) for _ in kinds]
    users = rng.sample(range(10_000, 99_999), k=rng.randint(4, 9))
    days = [FIRST_DAY + timedelta(days=n) for n in sorted(rng.sample(range(360), k=rng.randint(5, 10)))]
    messages: list[Message] = []
    total = 0
    while len(messages) < 3 or total < characters:
        label = rng.choices(kinds, weights)[0]
        text = topic.message(rng, label=label)
        message = Message(day=rng.choice(days), user=rng.choice(users), text=text, label=label)
        messages.append(message)
        total += len(message.line(labels=labels)) + 1
    return Window(topic=topic, messages=messages)


def question(rng: random.Random, *, about: Window, kind: str) -> Question:
    """Returns a question of this kind; a count if the kind has no single right answer in this window."""
    made = QUESTIONS[kind](rng, about)
    return made or _count(rng, about)


def _count(rng: random.Random, about: Window) -> Question:
    label = rng.choice(sorted({message.label for message in about.messages}))
    number = sum(message.label == label for message in about.messages)
    return Question("count", "number", f"How many messages have the label '{label}'?", str(number))


def _most_frequent(rng: random.Random, about: Window) -> Question | None:
    winner = _only_extreme(Counter(message.label for message in about.messages), most=True)
    text = "Which label is the most frequent among the messages?"
    return Question("most_frequent", "label", text, winner) if winner else None


def _least_frequent(rng: random.Random, about: Window) -> Question | None:
    counts = Counter(message.label for message in about.messages)
    loser = _only_extreme(counts, most=False) if len(counts) == len(about.topic.labels) else None
    text = "Which label is the least frequent among the messages?"
    return Question("least_frequent", "label", text, loser) if loser else None


def _comparison(rng: random.Random, about: Window) -> Question | None:
    counts = Counter(message.label for message in about.messages)
    if len(counts) < 2:
        return None
    one, other = rng.sample(sorted(counts), k=2)
    phrase = "same frequency as"
    if counts[one] != counts[other]:
        phrase = "more common than" if counts[one] > counts[other] else "less common than"
    text = f"Is the label '{one}' more common than, less common than, or of the same frequency as '{other}'?"
    return Question("comparison", "comparison", text, phrase)


def _per_user_count(rng: random.Random, about: Window) -> Question | None:
    message = rng.choice(list(about.messages))
    number = sum((m.user, m.label) == (message.user, message.label) for m in about.messages)
    text = f"How many messages of user {message.user} have the label '{message.label}'?"
    return Question("per_user_count", "number", text, str(number))


def _per_user_most(rng: random.Random, about: Window) -> Question | None:
    label = rng.choice(list(about.messages)).label
    users = Counter(str(m.user) for m in about.messages if m.label == label)
    winner = _only_extreme(users, most=True)
    text = f"Which user wrote the most messages with the label '{label}'?"
    return Question("per_user_most", "user", text, winner) if winner else None


def _per_date_count(rng: random.Random, about: Window) -> Question | None:
    message = rng.choice(list(about.messages))
    number = sum(m.day >= message.day and m.label == message.label for m in about.messages)
    text = f"How many messages of {message.day:%b %d, %Y} or later have the label '{message.label}'?"
    return Question("per_date_count", "number", text, str(number))


def _per_date_most(rng: random.Random, about: Window) -> Question | None:
    label = rng.choice(list(about.messages)).label
    days = Counter(f"{m.day:%b %d, %Y}" for m in about.messages if m.label == label)
    winner = _only_extreme(days, most=True)
    text = f"On which date were the most messages with the label '{label}' written?"
    return Question("per_date_most", "date", text, winner) if winner else None


def _only_extreme(counts: Counter[str], *, most: bool) -> str | None:
    """Returns the key with the highest (lowest) count; None if several share it."""
    extreme = (max if most else min)(counts.values())
    keys = [key for key, count in counts.items() if count == extreme]
    return keys[0] if len(keys) == 1 else None


QUESTIONS: dict[str, Callable[[random.Random, Window], Question | None]] = {
    "count": _count,
    "most_frequent": _most_frequent,
    "least_frequent": _least_frequent,
    "comparison": _comparison,
    "per_user_count": _per_user_count,
    "per_user_most": _per_user_most,
    "per_date_count": _per_date_count,
    "per_date_most": _per_date_most,
}
