"""The filter language of lists and of the API: `env:oolong scaffold:rlm reward:<1 subcalls:>10 "a phrase"`.

Terms stand beside each other and must all hold. `language`: text ↔ terms, each with its place in the text; `keys`:
what can be asked, in one registry; `conditions`: terms → a condition on rollouts; `hints`: what may be written at
a place, and why nothing was found. docs/filters.md explains it to readers.
"""

from .conditions import condition
from .hints import Completions, Option, complete, hints, own_keys
from .keys import KEYS, KINDS, Key, key_named
from .language import (
    FilterError,
    Number,
    Query,
    Term,
    Value,
    parse,
    text,
)

__all__ = [
    "KEYS",
    "KINDS",
    "Completions",
    "FilterError",
    "Key",
    "Number",
    "Option",
    "Query",
    "Term",
    "Value",
    "complete",
    "condition",
    "hints",
    "key_named",
    "own_keys",
    "parse",
    "text",
]
