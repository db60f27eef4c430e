"""Search and open over a fixed set of pages: real tool use without a network. BM25 ranks the pages."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from .deepdive_graph import Page
from .page_cuts import joined_pages, joined_results

RESULTS = 10
SNIPPET_CHARS = 160
_K1, _B = 1.2, 0.75
_COMMON = frozenset({
    "a", "an", "and", "as", "at", "by", "for", "from", "had", "has", "in", "is", "it", "its", "of", "on", "or",
    "that", "the", "this", "to", "was", "were", "which", "with",
})  # fmt: skip


class Corpus:
    """An index over pages. Immutable."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self._pages = {page.url: page for page in pages}
        self._found: dict[str, dict[str, int]] = defaultdict(dict)
        self._lengths: dict[str, int] = {}
        for page in pages:
            words = _words(f"{page.title} {_prose(page)}")
            self._lengths[page.url] = len(words)
            for word, count in Counter(words).items():
                self._found[word][page.url] = count
        self._mean = sum(self._lengths.values()) / max(1, len(pages))

    def search(self, query: str) -> str:
        """Returns up to ten pages as text, the best first."""
        words = set(_words(str(query)))
        scores: dict[str, float] = defaultdict(float)
        for word in words:
            pages = self._found.get(word, {})
            rarity = math.log(1 + (len(self._pages) - len(pages) + 0.5) / (len(pages) + 0.5))
            for url, count in pages.items():
                length = 1 - _B + _B * self._lengths[url] / self._mean
                scores[url] += rarity * count * (_K1 + 1) / (count + _K1 * length)
        ranked = sorted(scores, key=lambda url: (-scores[url], url))[:RESULTS]
        found = [self._pages[url] for url in ranked]
        return joined_results([(page.title, page.url, _snippet(page, words)) for page in found])

    def open(self, urls: Sequence[str] | str) -> str:
        """Returns the texts of the pages."""
        wanted = [urls] if isinstance(urls, str) else list(map(str, urls))
        return joined_pages([(url, self._text(url)) for url in wanted])

    def _text(self, url: str) -> str:
        page = self._pages.get(url.strip().rstrip("/"))
        return f"{page.title}\n\n{page.text}" if page else "Error: there is no page at this address."


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if word not in _COMMON]


def _prose(page: Page) -> str:
    return page.text.partition("\nLinked pages:")[0]


def _snippet(page: Page, words: set[str]) -> str:
    """Returns the sentences of a page that hold most words of the query, as many as fit."""
    sentences = re.split(r"(?<=\.) ", _prose(page).strip())
    ranked = sorted(sentences, key=lambda sentence: -len(words & set(_words(sentence))))
    text = ""
    for sentence in ranked:
        if len(text) + len(sentence) < SNIPPET_CHARS:
            text += f"{sentence} "
    return text.strip() or ranked[0][:SNIPPET_CHARS]
