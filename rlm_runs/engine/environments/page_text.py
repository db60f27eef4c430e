"""The text of a page: HTML by Beautiful Soup and PDF by pypdf, both imported on first use; plain text as it is."""

from __future__ import annotations

import io
import re
from importlib import import_module
from importlib.util import find_spec

from .page_cuts import MAX_CHARS
from .web_access import Fetched, FetchError

PACKAGES = {"bs4": "beautifulsoup4", "pypdf": "pypdf"}
_NOT_TEXT = ("script", "style", "noscript", "template", "svg", "iframe")
_BLOCKS = (
    "address", "article", "blockquote", "br", "dd", "div", "dt", "figcaption", "footer", "h1", "h2", "h3", "h4",
    "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "title", "tr", "ul",
)  # fmt: skip


def missing_packages() -> list[str]:
    """Returns the pip names of packages that are needed to read pages and not installed."""
    return [package for module, package in PACKAGES.items() if find_spec(module) is None]


def text_of(page: Fetched) -> str:
    """Returns the text of a page. Raises FetchError if it has none."""
    kind = page.content_type
    if kind == "application/pdf" or page.body.startswith(b"%PDF-"):
        return _pdf_text(page.body)
    if kind in ("text/html", "application/xhtml+xml", ""):
        return _html_text(page.body, charset=page.charset)
    if kind.startswith("text/") or kind.endswith(("json", "xml")):
        return _decoded(page.body, charset=page.charset)
    raise FetchError(f"its content, {kind}, is neither HTML nor PDF nor text")


def _decoded(body: bytes, *, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _html_text(body: bytes, *, charset: str | None) -> str:
    try:
        soup = import_module("bs4").BeautifulSoup(body, "html.parser", from_encoding=charset)
        for tag in soup.find_all(_NOT_TEXT):
            tag.decompose()
        for tag in soup.find_all(["td", "th"]):
            tag.append(" ")
        for tag in soup.find_all(_BLOCKS):
            tag.insert_before("\n")
            tag.append("\n")
        text = soup.get_text()
    except Exception as error:  # whatever a parser raises on hostile HTML is not our fault
        raise FetchError(f"its HTML cannot be read: {type(error).__name__}") from error
    return re.sub(r"\n\s*\n+", "\n\n", re.sub(r"[^\S\n]+", " ", text)).strip()


def _pdf_text(body: bytes) -> str:
    texts: list[str] = []
    try:
        for page in import_module("pypdf").PdfReader(io.BytesIO(body)).pages:
            texts.append(page.extract_text())
            if sum(map(len, texts)) > MAX_CHARS:
                break
    except Exception as error:  # whatever a parser raises on a hostile PDF is not our fault
        raise FetchError(f"its PDF cannot be read: {type(error).__name__}") from error
    text = "\n\n".join(texts).strip()
    if not text:
        raise FetchError("its PDF holds no text")
    return text
