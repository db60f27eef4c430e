"""Fetching reaches the public web only. Tests stay on this machine with their own resolver."""

import http.server
import threading
import time

import httpx2
import pytest

from rlm_runs.engine.environments.web_access import FetchError, Web, is_public, system_resolve

PUBLIC = "93.184.215.14"
HOSTS = {
    "site.test": [PUBLIC],
    "six.test": ["2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
    "inner.test": ["10.1.2.3"],
    "half.test": [PUBLIC, "127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "two.test": ["93.184.215.15", PUBLIC],
}


def resolve(host, port):
    if host in HOSTS:
        return HOSTS[host]
    if any(letter in "ghijklmnopqrstuvwyz" for letter in host) and host != "localhost":
        raise OSError("unknown host")
    return system_resolve(host, port)  # numbers in any notation, and localhost: no question leaves the machine


def web(handler=None, **limits):
    """A web whose connections end at the handler; `asked` keeps the requests."""
    asked = []

    def handle(request):
        asked.append(request)
        return (handler or (lambda _: httpx2.Response(200, text="hello")))(request)

    made = Web(resolve=resolve, transport=lambda: httpx2.MockTransport(handle), **limits)
    return made, asked


def test_a_public_page_is_fetched_from_the_address_that_was_checked():
    made, asked = web()
    assert made.fetch("https://site.test/a?b=c").body == b"hello"
    (request,) = asked
    assert str(request.url) == f"https://{PUBLIC}/a?b=c"
    assert request.headers["host"] == "site.test"
    assert request.extensions["sni_hostname"] == "site.test"


def test_a_public_address_of_version_six():
    made, asked = web()
    assert made.fetch("http://six.test/").body == b"hello"
    assert asked[0].url.host == HOSTS["six.test"][0]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost:8000/", "http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.9.9/",
        "http://169.254.169.254/latest/meta-data/", "http://metadata.test/", "http://0.0.0.0/", "http://100.64.0.1/",
        "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/", "http://0x7f.1/",
        "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[fe80::1]/",
        "http://[fd00::1]/", "http://[fec0::1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/",
        "http://[ff02::1]/", "http://224.0.0.1/", "http://255.255.255.255/", "http://240.0.0.1/",
        "http://inner.test/", "http://half.test/", "http://user:pass@127.0.0.1/", "http://site.test@127.0.0.1/",
        "http://127.0.0.1#@site.test/", "http://site.test:80@10.0.0.1/", "http://unknown.test/",
        "file:///etc/passwd", "ftp://site.test/", "gopher://site.test/", "data:text/plain,x", "javascript:1", "",
        "site.test", "//site.test/", "http://", "http:///etc", "http://site.test:99999/", "http://\x00/", "http://[::1",
        "http://\ud800/", "http://" + "a" * 300 + ".test/",
    ],
)  # fmt: skip
def test_what_is_not_on_the_public_web_is_never_asked(url):
    made, asked = web()
    with pytest.raises(FetchError):
        made.fetch(url)
    assert asked == []


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/", "http://2130706433/", "http://inner.test/", "http://metadata.test/latest/", "file:///etc",
        "//127.0.0.1/x", "http://[::1]/", "https://half.test/",
    ],
)  # fmt: skip
def test_a_redirect_is_checked_like_any_address(target):
    made, asked = web(lambda _: httpx2.Response(302, headers={"Location": target}))
    with pytest.raises(FetchError):
        made.fetch("http://site.test/")
    assert len(asked) == 1


def test_a_redirect_within_the_public_web_is_followed_from_the_host_and_not_from_the_address():
    def handler(request):
        if request.url.path == "/new/page":
            return httpx2.Response(200, text="moved here")
        return httpx2.Response(301, headers={"Location": "/new/page"})

    made, asked = web(handler)
    fetched = made.fetch("http://site.test/old")
    assert (fetched.url, fetched.body) == ("http://site.test/new/page", b"moved here")
    assert asked[1].headers["host"] == "site.test"


def test_redirects_are_bounded():
    made, asked = web(lambda request: httpx2.Response(302, headers={"Location": f"{request.url.path}x"}))
    with pytest.raises(FetchError, match="more than 5 redirects"):
        made.fetch("http://site.test/")
    assert len(asked) == 6


def test_a_name_that_resolves_otherwise_the_second_time_is_asked_for_once():
    answers = [[PUBLIC], ["127.0.0.1"]]
    asked = []

    def handler(request):
        asked.append(request.url.host)
        return httpx2.Response(200, text="x")

    made = Web(resolve=lambda host, port: answers.pop(0), transport=lambda: httpx2.MockTransport(handler))
    made.fetch("http://rebind.test/")
    assert asked == [PUBLIC]
    with pytest.raises(FetchError, match="not on the public web"):
        made.fetch("http://rebind.test/")
    assert asked == [PUBLIC]


def test_the_next_address_is_tried_where_the_first_does_not_answer():
    def handler(request):
        if request.url.host != PUBLIC:
            raise httpx2.ConnectError("no route")
        return httpx2.Response(200, text="second")

    assert web(handler)[0].fetch("http://two.test/").body == b"second"


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert web()[0].fetch("http://site.test/").body == b"hello"


def test_a_refusal_is_said():
    with pytest.raises(FetchError, match="answered 404"):
        web(lambda _: httpx2.Response(404))[0].fetch("http://site.test/")


@pytest.mark.parametrize("address", ["nonsense", "", "1.2.3.4.5", "fe80::1%eth0", "2001:db8::1", "198.51.100.7"])
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


class _Endless(http.server.BaseHTTPRequestHandler):
    """Sends without end, fast or byte by byte."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" if self.path == "/slow" else b"x" * 65536)
                time.sleep(0.02 if self.path == "/slow" else 0)
        except OSError:
            return

    def log_message(self, *_):
        pass


@pytest.fixture
def endless():
    """A real connection that ends at a server of the test."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Endless)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    class ToServer(httpx2.HTTPTransport):
        def handle_request(self, request):
            assert request.url.host == PUBLIC
            url = request.url.copy_with(host="127.0.0.1", port=server.server_port)
            return super().handle_request(httpx2.Request(request.method, url, headers=request.headers))

    yield ToServer
    server.shutdown()
    server.server_close()


def test_a_page_without_an_end_is_cut(endless):
    fetched = Web(resolve=resolve, transport=endless, max_bytes=100_000).fetch("http://site.test/")
    assert len(fetched.body) == 100_000


def test_a_page_that_drips_is_given_up(endless):
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"longer than 0\.5 s"):
        Web(resolve=resolve, transport=endless, max_seconds=0.5).fetch("http://site.test/slow")
    assert time.monotonic() - began < 5
