"""The registry of scaffolds by key, in the order of pages: built-in ones, then custom ones.

Nothing else lists scaffolds. The functions accept any key, because imports bring scaffolds of other programs, of
which only the name is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import custom
from .base import Mark, PublishedMeans, Scaffold
from .llm import LlmScaffold
from .looks import OTHER_COLOUR, OTHER_MARK, free_colours, free_marks
from .rlm import RlmScaffold
from .rlm_tips import RlmTipsScaffold

REGISTRY: dict[str, type[Scaffold[Any]]] = {
    scaffold.key: scaffold for scaffold in (LlmScaffold, RlmScaffold, RlmTipsScaffold)
}
custom.add_to(REGISTRY)


def _looks() -> dict[str, tuple[Mark, str]]:
    declared = REGISTRY.values()
    marks = free_marks({scaffold.mark for scaffold in declared if scaffold.mark})
    colours = free_colours({scaffold.colour for scaffold in declared})
    return {
        key: (scaffold.mark or next(marks), scaffold.colour or next(colours)) for key, scaffold in REGISTRY.items()
    }


_LOOKS = _looks()
_ORDER = {key: place for place, key in enumerate(REGISTRY)}
_ALIASES = {alias: key for key, scaffold in REGISTRY.items() for alias in (key, *scaffold.aliases)}


def title(key: str) -> str:
    """Returns the scaffold's title; for an unknown scaffold, its key."""
    return REGISTRY[key].title if key in REGISTRY else key


def mark(key: str) -> Mark:
    """Returns the scaffold's mark."""
    return _LOOKS[key][0] if key in _LOOKS else OTHER_MARK


def colours() -> Mapping[str, str]:
    """Returns the colours `#rrggbb` by key; the key `other` is for unknown scaffolds."""
    return {**{key: colour for key, (_, colour) in _LOOKS.items()}, "other": OTHER_COLOUR}


def style_name(key: str) -> str:
    """Returns the scaffold's name in stylesheets: its key, or `other` for an unknown scaffold."""
    return key if key in REGISTRY else "other"


def place(key: str) -> int:
    """Returns the scaffold's place in lists. Unknown scaffolds come last."""
    return _ORDER.get(key, len(_ORDER))


def is_baseline(key: str) -> bool:
    """Returns whether other scaffolds are compared with this one."""
    return key in REGISTRY and REGISTRY[key].is_baseline


def runs_code(key: str) -> bool:
    """Returns whether its root works in a REPL; assumed of an unknown scaffold."""
    return key not in REGISTRY or REGISTRY[key].runs_code


def is_plain_model(key: str) -> bool:
    """Returns whether it is the model alone, which answers without a REPL or sub-LLMs."""
    return key in REGISTRY and not (REGISTRY[key].runs_code or REGISTRY[key].calls_sub_llms)


def submits_answer(key: str) -> bool:
    """Returns whether the model submits its answer through the REPL's `answer`."""
    return key in REGISTRY and REGISTRY[key].submits_answer


def sub_llm_levels(key: str, settings: Mapping[str, Any]) -> int:
    """Returns the levels of sub-LLMs below the root under stored settings; 0 for an unknown scaffold."""
    return REGISTRY[key].sub_llm_levels(settings) if key in REGISTRY else 0


def with_capability(name: str) -> list[str]:
    """Returns the keys of the scaffolds that declare a capability, such as `calls_sub_llms`."""
    return [key for key, scaffold in REGISTRY.items() if getattr(scaffold, name)]


def named_in_files(name: str) -> str:
    """Returns the key of a scaffold by its name in the files of other tools. An unknown name is returned
    as it is.
    """
    return _ALIASES.get(name, name)


def published_means(key: str) -> tuple[PublishedMeans, str]:
    """Returns published means per rollout, and the title of the scaffold that they describe.

    A scaffold without its own gets those of the RLM if it calls sub-LLMs, else those of the plain model.
    """
    scaffold = REGISTRY[key]
    substitute = RlmScaffold if scaffold.calls_sub_llms else LlmScaffold
    means = scaffold.published or substitute.published
    assert means is not None
    return means, scaffold.title if scaffold.published else substitute.title


def of_settings(settings: Any) -> Scaffold[Any]:
    """Returns the scaffold whose settings have exactly this type, with these settings."""
    kind = next(scaffold for scaffold in REGISTRY.values() if scaffold.settings_type is type(settings))
    return kind(settings)
