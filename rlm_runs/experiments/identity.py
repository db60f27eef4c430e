"""Identity by content: hashes of arms and examples, and slugs of experiments, for launches and imports alike."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.utils.text import slugify

from ..models import Experiment


def content_hash(value: Any) -> str:
    """Returns the SHA-256 of a JSON value, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def example_hash(
    environment: str, *, prompt: str, answer: str, input_data: str | None = None, occurrence: int = 1
) -> str:
    """Returns the content hash of an example, whose texts are given by their digests.

    A dataset may contain a question twice, and each is an example: `occurrence` counts from 1.
    """
    named = {"environment": environment, "prompt": prompt, "answer": answer, "input_data": input_data}
    return content_hash(named if occurrence == 1 else named | {"occurrence": occurrence})


def free_slug(name: str) -> str:
    """Returns `name` as a slug, numbered from the second experiment of that name on."""
    slug = slugify(name)[:60] or "experiment"
    taken = set(Experiment.everything.filter(slug__startswith=slug).values_list("slug", flat=True))
    number = next(n for n in range(1, len(taken) + 2) if _numbered(slug, n) not in taken)
    return _numbered(slug, number)


def _numbered(slug: str, number: int) -> str:
    return slug if number == 1 else f"{slug}-{number}"
