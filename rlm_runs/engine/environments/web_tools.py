"""`search` and `open` on the web: Google's results through Serper, and the text of public pages.

Each search reads Serper's key from the environment variable SERPER_API_KEY; it is stored nowhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from .base import DataError
from .page_cuts import MAX_PAGES, joined_pages, joined_results
from .page_text import missing_packages, text_of
from .web_access import FetchError, Web, direct_transport

KEY_VARIABLE = "SERPER_API_KEY"
SERPER_URL = "https://google.serper.dev/search"
SEARCH_SECONDS = 20.0
RESULTS = 10
GRACE_SECONDS = 5.0
"""Seconds that a call waits for its pages beyond the time limit of one page."""


class SearchError(Exception):
    """A search failed. The message is for the model."""


@dataclass(frozen=True)
class WebTools:
    """The two tools. Tests replace the web and the transport to Serper."""

    web: Web = field(default_factory=Web)
    serper: httpx2.BaseTransport | None = None

    def search(self, query: str) -> str:
        """Returns up to ten results as text. Raises SearchError."""
        key = os.environ.get(KEY_VARIABLE)
        if not key:
            raise SearchError(f"there is no search: the environment variable {KEY_VARIABLE} is not set")
        try:
            with httpx2.Client(transport=self.serper or direct_transport(), timeout=SEARCH_SECONDS) as client:
                response = client.post(SERPER_URL, json={"q": str(query)}, headers={"X-API-KEY": key})
            response.raise_for_status()
            found = response.json()
        except (httpx2.HTTPStatusError, ValueError) as error:
            raise SearchError(f"the search engine answered {response.status_code}") from error
        except httpx2.HTTPError as error:
            raise SearchError(f"the search engine cannot be reached: {type(error).__name__}") from error
        return joined_results(_results(found))

    def open(self, urls: Sequence[str] | str) -> str:
        """Returns the texts of pages, fetched in parallel. The error of a failed page takes the place of
        its text.
        """
        wanted = [urls] if isinstance(urls, str) else list(map(str, urls))
        texts = ["Error: it took too long."] * len(wanted)

        def fetch(place: int, url: str) -> None:
            texts[place] = self._text(url)

        if len(wanted) <= MAX_PAGES:
            # Daemon threads, because a server may trickle single bytes forever.
            threads = [threading.Thread(target=fetch, args=pair, daemon=True) for pair in enumerate(wanted)]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + self.web.max_seconds + GRACE_SECONDS  # for all pages together
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        return joined_pages(list(zip(wanted, texts, strict=True)))

    def _text(self, url: str) -> str:
        try:
            return text_of(self.web.fetch(url.strip()))
        except FetchError as error:
            return f"Error: {error}."


def check_prerequisites(*, instead: str) -> None:
    """Raises DataError if the key or a package is missing, so that a launch fails rather than its rollouts."""
    if not os.environ.get(KEY_VARIABLE):
        raise DataError(
            f"its questions are researched on the web, and the environment variable {KEY_VARIABLE}, the key for "
            f"search, is not set. {instead}"
        )
    if packages := missing_packages():
        raise DataError(f"reading web pages needs packages: pip install {' '.join(packages)}. {instead}")


def _results(found: Any) -> list[tuple[str, str, str]]:
    organic = found.get("organic") if isinstance(found, dict) else None
    entries = [entry for entry in organic or () if isinstance(entry, dict)][:RESULTS]
    return [tuple(str(entry.get(name, "")) for name in ("title", "link", "snippet")) for entry in entries]  # type: ignore[misc]
