"""The tools `search` and `open`: results and errors as models see them."""

import contextlib
import json
import threading
from dataclasses import replace

import httpx2
import pytest

from rlm_runs.engine.environments import web_tools
from rlm_runs.engine.environments.base import DataError
from rlm_runs.engine.environments.page_cuts import MAX_CHARS
from rlm_runs.engine.environments.page_text import text_of
from rlm_runs.engine.environments.web_access import Fetched, FetchError, Web
from rlm_runs.engine.environments.web_tools import SearchError, WebTools, check_prerequisites

HTML = b"""<html><head><title>A page</title>
<style>p {}</style><script>alert("no")</script></head><body><h1>Head</h1>
<p>One <b>bold</b>
word.</p><ul><li>first<li>second</ul><table><tr><td>a</td><td>b</td></tr></table><!-- no --><p>caf\xe9</p>"""


@pytest.fixture
def _key(monkeypatch):
    monkeypatch.setenv("SERPER_API_KEY", "a secret key")


def serper(handler):
    return WebTools(serper=httpx2.MockTransport(handler))


def pages(handler):
    return WebTools(web=Web(resolve=lambda *_: ["93.184.215.14"], transport=lambda: httpx2.MockTransport(handler)))


@pytest.mark.usefixtures("_key")
def test_search_asks_serper_and_lists_ten_results():
    def handler(request):
        assert (request.method, str(request.url)) == ("POST", "https://google.serper.dev/search")
        assert request.headers["x-api-key"] == "a secret key"
        assert json.loads(request.content) == {"q": "what"}
        found = [{"title": f"T{n}", "link": f"https://x.test/{n}", "snippet": "s"} for n in range(20)]
        return httpx2.Response(200, json={"organic": found})

    found = serper(handler).search("what")
    assert found.startswith("1. T0\n   URL: https://x.test/0\n   s\n2. T1")
    assert found.count("URL: ") == 10


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize("body", [{}, [], {"organic": None}, {"organic": [3, "x"]}])
def test_nothing_found(body):
    assert serper(lambda _: httpx2.Response(200, json=body)).search("what") == "No results."


@pytest.mark.usefixtures("_key")
def test_long_results_are_cut():
    found = [{"title": "T", "link": "l", "snippet": "s" * 30_000}]
    assert len(serper(lambda _: httpx2.Response(200, json={"organic": found})).search("what")) == MAX_CHARS


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (lambda _: httpx2.Response(403), "answered 403"),
        (lambda _: httpx2.Response(200, text="not json"), "answered 200"),
        (lambda request: exec("raise httpx2.ConnectError('no')", {"httpx2": httpx2}), "cannot be reached"),
    ],
)
def test_a_search_that_fails_is_said_without_the_key(handler, says):
    with pytest.raises(SearchError, match=says) as caught:
        serper(handler).search("what")
    assert "secret" not in str(caught.value)


def test_without_a_key_there_is_no_search(monkeypatch):
    monkeypatch.delenv("SERPER_API_KEY", raising=False)
    with pytest.raises(SearchError, match="SERPER_API_KEY is not set"):
        WebTools().search("what")
    with pytest.raises(DataError, match=r"SERPER_API_KEY.* is not set\. Do that\."):
        check_prerequisites(instead="Do that.")


@pytest.mark.usefixtures("_key")
def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(web_tools, "missing_packages", lambda: ["pypdf"])
    with pytest.raises(DataError, match=r"pip install pypdf\. Do that\."):
        check_prerequisites(instead="Do that.")


def test_several_pages_are_opened_at_once_and_what_fails_stands_in_its_place():
    def handler(request):
        return httpx2.Response(200, headers={"content-type": "text/plain"}, text=f"page {request.url.path}")

    opened = pages(handler).open(["http://a.test/1", "file:///etc/passwd", "http://a.test/2"])
    assert "=== http://a.test/1\npage /1" in opened
    assert "=== file:///etc/passwd\nError: only http and https can be opened" in opened
    assert "=== http://a.test/2\npage /2" in opened


def test_pages_that_hang_are_left_and_the_others_are_there(monkeypatch):
    monkeypatch.setattr(web_tools, "GRACE_SECONDS", 0.3)
    released = threading.Event()

    def handler(request):
        if request.url.path != "/2":
            released.wait(30)
        return httpx2.Response(200, headers={"content-type": "text/plain"}, text="a page")

    tools = pages(handler)
    tools = replace(tools, web=replace(tools.web, max_seconds=0.3))
    opened = tools.open(["http://a.test/1", "http://a.test/2", "http://a.test/3"])
    released.set()
    late = "Error: it took too long."
    assert opened == f"=== http://a.test/1\n{late}\n\n=== http://a.test/2\na page\n\n=== http://a.test/3\n{late}"


def test_too_many_pages_and_long_pages():
    def handler(_):
        return httpx2.Response(200, headers={"content-type": "text/plain"}, text="x" * 50_000)

    assert "at most 10" in pages(handler).open(["http://a.test/"] * 11)
    assert len(pages(handler).open(["http://a.test/"] * 10)) <= MAX_CHARS
    assert "x" * 19_000 in pages(handler).open("http://a.test/")


def fetched(body, kind, charset=None):
    return Fetched(url="http://a.test/", content_type=kind, charset=charset, body=body)


def test_html_becomes_text():
    text = text_of(fetched(HTML, "text/html", "latin-1"))
    assert [line.strip() for line in text.splitlines() if line.strip()] == [
        *("A page", "Head", "One bold", "word.", "first", "second", "a b", "café"),
    ]


def test_hostile_html_is_read_or_refused():
    for body in (b"<div>" * 3000 + b"deep", b"\xff\xfe\x00", b"<" * 10_000, b"", b"<p " + b"a=1 " * 10_000):
        with contextlib.suppress(FetchError):
            text_of(fetched(body, "text/html"))


def test_pdf_becomes_text():
    assert "Hello from a PDF" in text_of(fetched(pdf("Hello from a PDF"), "application/pdf"))


@pytest.mark.parametrize("body", [b"%PDF-1.7 and nothing else", b"%PDF-" + b"\x00" * 1000])
def test_a_broken_pdf_is_said(body):
    with pytest.raises(FetchError, match="PDF"):
        text_of(fetched(body, "application/pdf"))


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "text/csv", "application/xml"])
def test_text_is_shown_as_it_is(kind):
    assert text_of(fetched(b"a\xc3\xa9\xff", kind, "no-such-charset")) == "aé\ufffd"


def test_other_content_is_refused():
    with pytest.raises(FetchError, match="image/png, is neither HTML nor PDF nor text"):
        text_of(fetched(b"\x89PNG", "image/png"))


def pdf(text):
    """A minimal PDF with text."""
    stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, places = "%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{one}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    start = len(body)
    body += (
        f"xref\n0 6\n0000000000 65535 f \n{table}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    )
    return body.encode()
