"""The messages of Oolong's generated subset: topics, their labels, and phrases for each label.

The phrases of a label share no keyword that the other labels lack ("which city" is a place, "which of the two
teams" is not). A reader classifies them correctly; a keyword search does not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

SLOTS: Mapping[str, tuple[str, ...]] = {
    "thing": (
        "kettle", "bicycle", "printer", "backpack", "lamp", "toaster", "headset", "tent", "watch", "camera",
        "keyboard", "coffee grinder", "desk chair", "blender", "router", "rain jacket",
    ),
    "place": (
        "Peru", "Norway", "Kenya", "Portugal", "Vietnam", "Chile", "Morocco", "Finland", "Nepal", "Ghana",
        "Scotland", "Uruguay",
    ),
    "era": ("the 1920s", "the Bronze Age", "the 18th century", "the Cold War", "the Renaissance"),
    "topic": (
        "photosynthesis", "inflation", "the tides", "jazz", "plate tectonics", "origami", "fermentation",
        "a solar eclipse", "the jury system", "cryptography",
    ),
    "animal": ("otter", "falcon", "tortoise", "salmon", "hedgehog", "camel", "bat", "octopus"),
    "work": ("the telephone", "the suspension bridge", "the first novel", "the zip fastener", "the polio vaccine"),
    "letters": ("NASA", "HTML", "GDP", "UNESCO", "DNA", "FAQ", "RSVP", "LED", "GPS", "NATO"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
    "weeks": ("two weeks", "ten days", "almost a month", "three weeks", "nine days"),
    "order": ("4417", "8830", "2095", "7162", "5528", "3391", "6074"),
}  # fmt: skip


@dataclass(frozen=True)
class Topic:
    """A subject of message lists, with the phrases of each label."""

    name: str
    about: str
    labels: Mapping[str, tuple[str, ...]]

    def message(self, rng: random.Random, *, label: str) -> str:
        """Returns a message that has this label."""
        phrase = rng.choice(self.labels[label])
        return re.sub(r"\{(\w+)\}", lambda slot: rng.choice(SLOTS[slot.group(1)]), phrase)


QUESTION_TYPES = Topic(
    name="question_types",
    about="The messages are questions, and a label says what kind of answer the question asks for.",
    labels={
        "abbreviation": (
            "What does {letters} stand for?",
            "{letters} is short for what?",
            "What is the full form of {letters}?",
            "Spelled out, what do the letters {letters} mean?",
            "How is {letters} expanded in official documents?",
        ),
        "person": (
            "Who designed {work}?",
            "Which engineer is credited with {work}?",
            "What was the name of the woman who mapped {place} first?",
            "{work} was the idea of which inventor?",
            "Whose portrait is on the banknotes of {place}?",
            "Name the explorer who first crossed {place} on foot.",
        ),
        "location": (
            "Where does the {animal} spend the winter?",
            "Which city is the oldest in {place}?",
            "What is the capital of {place}?",
            "In what country was {work} first shown to the public?",
            "Through which valleys does the longest river of {place} flow?",
            "What mountain is the highest in {place}?",
        ),
        "number": (
            "How many islands belong to {place}?",
            "In what year did {place} become independent?",
            "What is the population of {place}?",
            "How long does an {animal} live on average?",
            "At what temperature does the {animal} go into its winter sleep?",
            "What share of the people of {place} live by the sea?",
        ),
        "description": (
            "How does {topic} work?",
            "Why did {topic} matter so much in {era}?",
            "What is {topic}?",
            "What happened in {place} during {era}?",
            "In what way did {era} change how people saw {topic}?",
            "What makes the {animal} different from its relatives?",
        ),
        "entity": (
            "What food does the {animal} like best?",
            "Which language do most people in {place} speak at home?",
            "What instrument is typical of the folk music of {place}?",
            "Which colour stands in the middle of the flag of {place}?",
            "What material were most tools of {era} made of?",
            "Which sport draws the largest crowds in {place}?",
        ),
    },
)

REVIEWS = Topic(
    name="reviews",
    about="The messages are reviews of goods, and a label says what the writer thinks on the whole.",
    labels={
        "positive": (
            "I expected to send the {thing} back, and now nobody may take it from me.",
            "Bought the {thing} on {day}, used it daily since, and would buy it again without a thought.",
            "There is nothing bad I can say about this {thing}, and believe me, I tried.",
            "The {thing} has outlived two cheaper ones and still works like on its first day.",
            "My sister borrowed the {thing} and ordered her own the same evening.",
            "Not the cheapest {thing}, but worth every cent.",
        ),
        "negative": (
            "I wanted to love this {thing}; it lasted {weeks}.",
            "Great photos in the shop, shame that the real {thing} has so little to do with them.",
            "If you like repairing things, this {thing} is perfect: you will do little else.",
            "The {thing} went back on {day}, and I will not try another.",
            "For that price I would have hoped for a {thing} that works more than once.",
            "My old {thing}, held together by tape, does the job better.",
        ),
        "mixed": (
            "The {thing} does what it should, though the manual is a riddle and the lid already squeaks.",
            "Half of me likes the {thing} for its looks, the other half regrets it whenever it is switched on.",
            "A fine {thing} for travelling; at home I would rather use something else.",
            "Strong start, then the {thing} got slower; still all right for the money.",
            "I can neither praise nor damn this {thing}: it is good on {day}s and sulks on the others.",
            "Good {thing}, poor service, so I cannot decide what to think.",
        ),
    },
)

SUPPORT = Topic(
    name="support",
    about="The messages came to the help desk of a shop, and a label says what the customer wants or reports.",
    labels={
        "refund": (
            "I sent the {thing} back {weeks} ago and the money has still not reached my account.",
            "Please cancel order {order} and put the sum back on my card.",
            "You charged me twice for one {thing}; I would like the second payment returned.",
            "The {thing} is not what I ordered. I do not need another one, only what I paid.",
            "When will I be reimbursed for order {order}?",
        ),
        "delivery": (
            "The courier says that he left the {thing} with a neighbour, but nobody here has it.",
            "Order {order} was to come on {day}. It is {weeks} later now.",
            "Can the {thing} go to my office instead? I am not at home on {day}.",
            "The tracking page has shown the same depot for {weeks}.",
            "Is it possible to have order {order} brought before {day}?",
        ),
        "account": (
            "I no longer have the phone that the login code is sent to.",
            "My password is refused although I changed it on {day}.",
            "Please change the e-mail address of my profile; I cannot find where.",
            "It says that I am locked out after too many tries.",
            "How do I delete my profile and everything you know about me?",
        ),
        "fault": (
            "The {thing} makes a grinding noise and then switches itself off.",
            "After the update of {day} the {thing} no longer pairs with anything.",
            "The display of my {thing} stays dark, whatever I press.",
            "Since {day} the {thing} gets so hot that I cannot hold it.",
            "A screw fell out of the {thing} and now it wobbles; is there a repair guide?",
        ),
        "praise": (
            "Just wanted to say that the woman on the phone on {day} was wonderful.",
            "Order {order} came a day early and was packed with such care. Thank you!",
            "No question today: I simply like the new {thing} very much.",
            "Whoever solved my login trouble on {day}: you made my week.",
            "You replaced my {thing} without a single form. More shops should be like you.",
        ),
    },
)

TOPICS: Mapping[str, Topic] = {topic.name: topic for topic in (QUESTION_TYPES, REVIEWS, SUPPORT)}
