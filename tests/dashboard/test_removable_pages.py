"""A page can be removed: without its line in `urls.py`, every other page opens and has no link to it."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from django.urls import URLResolver, get_resolver, set_urlconf

from dashboard import urls

from .test_access import SENT_TO, addresses

CORE = {"experiments", "rollouts", "replay"}
"""Pages that `get_absolute_url` of the models leads to, and the list between them."""
PAGES = {
    resolver.urlconf_module.__name__.split(".")[1]: resolver
    for resolver in urls.urlpatterns
    if isinstance(resolver, URLResolver)
}
REMOVABLE = sorted(PAGES.keys() - CORE)
NOT_HTML = ("-csv", "-json", "launch-spec", "filter-completions", "view-save", "view-delete")


@pytest.fixture
def without(settings):
    """Serves the site without a page; returns the names of its views."""
    name = "urls_without_a_page"

    def remove(page):
        module = ModuleType(name)
        module.urlpatterns = [pattern for pattern in urls.urlpatterns if pattern is not PAGES[page]]
        sys.modules[name] = module
        settings.ROOT_URLCONF = name
        set_urlconf(None)
        return {view for view in PAGES[page].reverse_dict if isinstance(view, str)}

    yield remove
    sys.modules.pop(name, None)


def test_every_page_is_a_folder():
    assert PAGES.keys() >= {"api", "behaviour", "compare", "figures", "launch", "sharing", "workers"} | CORE


def _links(path):
    """The ways to write a link to it. "/" alone is also the name of a pattern of bars."""
    before = '="' if path == "/" else '"'
    return [f"{before}{path}{after}".encode() for after in ('"', "?")]


@pytest.mark.parametrize("page", REMOVABLE)
def test_the_others_open_and_do_not_lead_to_it(reader, played, without, page):
    known = addresses(played)
    gone = without(page)
    paths = {known[view].split("?")[0] for view in gone if view in known}
    opened = 0
    for view, address in known.items():
        if view in gone or view in SENT_TO:
            continue
        response = reader.get(address)
        assert response.status_code in (200, 204), f"{view} without {page}"
        body = b"".join(response) if response.streaming else response.content
        links = [path for path in paths if any(link in body for link in _links(path))]
        assert links == [], f"{view} leads to {page}"
        opened += 1
    assert opened > 20


def test_a_page_that_is_removed_is_not_found(reader, played, without):
    address = addresses(played)["behaviour"]
    without("behaviour")
    assert reader.get(address).status_code == 404
    assert get_resolver() is not None
