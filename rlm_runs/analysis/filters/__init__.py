"""The filter language of lists and of the API: `env:oolong scaffold:rlm reward:<1 subcalls:>10 "a phrase"`.

All terms must hold. `language` parses text into terms with their positions; `keys` is the registry of keys;
`conditions` turns terms into a condition on rollouts; `hints` completes queries and explains empty results.
docs/filters.md is the user's guide.
"""

from .conditions import condition
from .hints import Completions, Option, complete, hints, known_values, own_keys
from .keys import KEYS, KINDS, Key, key_named
from .language import (
    FilterError,
    Number,
    Query,
    Term,
    Value,
    parse,
    term,
    text,
)
from .reviews import REVIEW_KEYS

__all__ = [
    "KEYS",
    "KINDS",
    "REVIEW_KEYS",
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
    "known_values",
    "own_keys",
    "parse",
    "term",
    "text",
]
