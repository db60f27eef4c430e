"""The text of `search` and `open` results for a model, whatever their source, and its truncation."""

from __future__ import annotations

from collections.abc import Sequence

MAX_CHARS = 20_000
MAX_PAGES = 10
CUT = "… [cut]"

SEARCH_SCHEMA = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What to search for: a few telling words."}},
    "required": ["query"],
}
OPEN_SCHEMA = {
    "type": "object",
    "properties": {
        "urls": {
            "type": "array",
            "items": {"type": "string"},
            "description": f"Addresses of pages, at most {MAX_PAGES}.",
        }
    },
    "required": ["urls"],
}
SEARCH_DESCRIPTION = "Searches for pages. Returns up to 10 results, each with title, URL and a snippet."
OPEN_DESCRIPTION = (
    f"Fetches pages by URL and returns their text, {MAX_CHARS:,} characters in all: of several pages each is cut "
    "to its share."
)


def joined_results(results: Sequence[tuple[str, str, str]]) -> str:
    """Returns titles, URLs and snippets as a numbered list."""
    lines = [f"{n}. {title}\n   URL: {url}\n   {snippet}" for n, (title, url, snippet) in enumerate(results, 1)]
    return cut("\n".join(lines)) if lines else "No results."


def joined_pages(pages: Sequence[tuple[str, str]]) -> str:
    """Returns the addresses and texts of pages, one after the other."""
    if not pages:
        return "Error: `urls` is empty."
    if len(pages) > MAX_PAGES:
        return f"Error: {len(pages)} pages are asked for; at most {MAX_PAGES} can be opened at once."
    return "\n\n".join(cut(f"=== {url}\n{text}", limit=MAX_CHARS // len(pages) - 2) for url, text in pages)


def cut(text: str, *, limit: int = MAX_CHARS) -> str:
    """Returns the text, or its beginning and a mark."""
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT
