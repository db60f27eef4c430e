"""The simulated model's understanding of a message: rules, each a phrase that decides a label.

Rules are ordered by weight, and the first match decides. Labels without rules are compared with the message by
their words, else guessed from a hash.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence

RULES: tuple[tuple[str, str], ...] = (
    # questions, by what they ask for
    ("abbreviation", r"stand(s)? for|short for|full form|spelled out|expanded|abbreviat|acronym"),
    ("number", r"\bhow (many|much|long|old|far)\b|what year|population|temperature|what share|percent"),
    ("location", r"^where\b|\bwhich city|capital|what country|valleys|mountain|^which river"),
    ("person", r"^who\b|whose|engineer|woman|inventor|explorer|\bname of the (man|woman)"),
    ("entity", r"\bfood\b|language|instrument|colou?r\b|material|\bsport\b"),
    ("description", r"^how does|^why|^what is [\w ]+\?$|what happened|in what way|what makes"),
    # letters to a help desk, by their purpose
    ("praise", r"wonderful|thank you|simply like|made my week|more shops should"),
    ("refund", r"money|cancel order|charged|not need another|only what i paid|reimburs|refund"),
    ("delivery", r"courier|was to come|go to my office|tracking|brought before|deliver"),
    ("account", r"login|password|profile|locked out"),
    ("fault", r"noise|no longer pairs|display|stays dark|so hot|screw|wobbles"),
    # reviews, by the writer's overall opinion
    ("mixed", r"\bthough\b|half of me|for travelling|still all right|neither|cannot decide"),
    ("positive", r"nobody may take|buy it again|nothing bad|outlived|ordered her own|worth every"),
    ("negative", r"it lasted|shame|repairing|went back|not try another|more than once|tape"),
)


def understood(text: str, *, labels: Sequence[str]) -> str:
    """Returns the label of a message, read with full attention."""
    lowered = text.lower().strip()
    for label, pattern in RULES:
        if label in labels and re.search(pattern, lowered):
            return label
    words = set(re.findall(r"\w+", lowered))
    named = [label for label in labels if words & set(re.findall(r"\w+", label.lower()))]
    if named:
        return named[0]
    digest = hashlib.sha256(lowered.encode("utf-8", "replace")).digest()
    return labels[digest[0] % len(labels)]


def read(text: str, *, labels: Sequence[str], slips: float, rng: random.Random) -> str:
    """Returns the label given by a reader who errs in this share of the messages."""
    label = understood(text, labels=labels)
    others = [other for other in labels if other != label]
    return rng.choice(others) if others and rng.random() < slips else label
