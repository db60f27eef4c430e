"""A shared link shows one thing and nothing around it, to whoever has it, until it is revoked."""

import html
import re
from urllib.parse import urljoin

import pytest
from django.contrib.auth.models import User
from django.core.signing import Signer
from django.urls import URLPattern, get_resolver, reverse

from rlm_runs.models import Arm, Execution, Rollout, SharedLink, Trajectory, Turn

from .traces import make_experiment, play_all

REPLAY = {"rollout", "rollout-live", "call", "batch", "prompt", "text"}
EXPERIMENT = {"experiment", "experiment-live", "experiment-rollouts"}
BEHAVIOUR = {"behaviour", "behaviour-csv", "behaviour-json"}
SHOWN = {"experiment": EXPERIMENT | BEHAVIOUR | REPLAY, "rollout": REPLAY}
"""What each kind of link opens, by the names of the views. Whatever is not here must be closed."""


@pytest.fixture
def other(played):
    """Another experiment, on the very same examples."""
    found = make_experiment(name="the secret of others")
    play_all(found)
    return found


@pytest.fixture
def share(ada):
    """Makes a link to a page as the page's button does."""

    def make(path, query="", user=ada):
        from dashboard.sharing.making import link_to

        link = link_to(path, query)
        link.created_by = user
        link.save()
        return link

    return make


def within(link, path=""):
    return f"/s/{link.token}{path or '/'}"


def a_rollout(experiment):
    return experiment.rollouts().filter(sub_calls__gt=0).order_by("pk").first()


def shared_of(kind, experiment, share):
    return share(
        {
            "experiment": reverse("experiment", args=[experiment.slug]),
            "rollout": reverse("rollout", args=[a_rollout(experiment).pk]),
        }[kind]
    )


def every_address(experiment):
    """Name → an address of every view of the site, with objects of this experiment."""
    rollout = a_rollout(experiment)
    turn = Turn.objects.filter(trajectory__rollout=rollout).first()
    execution = Execution.objects.filter(turn__trajectory__rollout=rollout, children__isnull=False).first()
    values = {
        "slug": experiment.slug,
        "pk": rollout.pk,
        "trajectory": Trajectory.objects.filter(rollout=rollout, kind="sub").first().pk,
        "execution": execution.pk,
        "number": 0,
        "turn": turn.pk,
        "owner": "turn",
        "key": turn.pk,
        "part": "content",
        "name": "reward",
    }
    return {
        name: reverse(name, kwargs={part: values.get(part, 1) for part in pattern.pattern.converters})
        for name, pattern in every_view()
    }


def every_view():
    found = get_resolver().url_patterns
    while found:
        entry = found[0]
        found = found[1:]
        if isinstance(entry, URLPattern):
            yield entry.name, entry
        else:
            found = [*entry.url_patterns, *found]


@pytest.mark.parametrize("kind", SHOWN)
def test_only_what_is_listed_opens(client, played, other, share, kind):
    link = shared_of(kind, played, share)
    for name, address in every_address(played).items():
        expected = 302 if address == "/" else 200 if name in SHOWN[kind] else 404
        assert client.get(within(link, address)).status_code == expected, name
    for name, address in every_address(other).items() - {("experiments", "/")}:
        assert client.get(within(link, address)).status_code == 404, name


@pytest.mark.parametrize("kind", SHOWN)
def test_nothing_can_be_sent(client, played, share, kind):
    link = shared_of(kind, played, share)
    for name, address in every_address(played).items():
        for method in (client.post, client.put, client.patch, client.delete, client.options):
            assert method(within(link, address)).status_code == 404, name
    assert SharedLink.objects.count() == 1


def test_a_rollout_is_shown_without_its_neighbours(client, played, share):
    link = shared_of("rollout", played, share)
    for rollout in played.rollouts().exclude(pk=link.rollout_id):
        assert client.get(within(link, rollout.get_absolute_url())).status_code == 404


@pytest.mark.parametrize("kind", SHOWN)
def test_the_link_itself_leads_to_what_was_shared(client, played, share, kind):
    link = shared_of(kind, played, share)
    SharedLink.objects.filter(pk=link.pk).update(query="unscored=zero")
    for address in (within(link), within(link)[:-1]):
        response = client.get(address)
        assert (response.status_code, response.url) == (302, within(link, f"{link.path}?unscored=zero"))
    assert client.get(response.url).status_code == 200


def test_what_is_not_shown_looks_like_what_is_not_there(client, played, other, share):
    link = shared_of("rollout", played, share)
    there = client.get(within(link, reverse("experiment", args=[other.slug])))
    not_there = client.get(within(link, "/experiments/nothing/"))
    no_page = client.get(within(link, "/nothing/at/all"))
    own_without_it = client.get(within(link, f"{link.path}text/turn/0/content/"))
    no_slash = client.get(within(link, "/launch"))
    badly_asked = client.get(within(link, f"{link.path}?attempt=x"))
    pages = [there, not_there, no_page, own_without_it, no_slash, badly_asked]
    assert {page.status_code for page in pages} == {404}
    assert len({page.content for page in pages}) == 1


def test_dead_links_all_look_the_same(client, played, share):
    revoked, unknown = (shared_of("rollout", played, share) for _ in range(2))
    identity, signature = revoked.token.split(".")
    path = revoked.path
    tokens = [revoked.token, unknown.token]
    revoked.revoke()
    unknown.delete()
    alive = shared_of("rollout", played, share)
    tokens += [
        alive.identity.hex,
        f"{alive.identity.hex}.",
        f"{alive.identity.hex}.{signature}",
        f"{identity}.{alive.token.split('.')[1]}",
        alive.token[:-1],
        alive.token.upper(),
        f"{alive.token}A",
        Signer(sep=".").sign(alive.identity.hex),
        Signer(salt="rlm_runs.SharedLink", sep=".").sign("not a uuid"),
        "",
        ".",
        "%00",
        "é\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "x" * 3000,
    ]
    pages = [client.get(f"/s/{token}{path}") for token in tokens]
    assert {page.status_code for page in pages} == {404}
    assert len({page.content for page in pages}) == 1
    assert "revoked, or it never existed" in pages[0].content.decode()
    assert client.get(within(alive, path)).status_code == 200


def test_another_key_opens_nothing(client, played, share, settings):
    link = shared_of("rollout", played, share)
    address = within(link, link.path)
    settings.SECRET_KEY = "another server's key, with the same rows in its store"
    assert client.get(address).status_code == 404


def test_who_is_logged_in_sees_what_everybody_sees(client, reader, played, share):
    from django.test import Client

    for kind in SHOWN:
        link = shared_of(kind, played, share)
        anonymous = Client().get(within(link, link.path))
        response = reader.get(within(link, link.path))
        assert response.content == anonymous.content
        assert not response.cookies
        assert not anonymous.cookies
        assert "ada" not in re.findall(r"\w+", response.content.decode())


def test_the_prefix_ends_with_the_request(client, reader, played, share):
    link = shared_of("experiment", played, share)
    reader.get(within(link, link.path))
    assert reverse("experiments") == "/"
    assert f'href="{link.path}rollouts/' in reader.get(link.path).content.decode()


def test_a_link_costs_two_queries_more(client, played, share, django_assert_max_num_queries):
    link = shared_of("rollout", played, share)
    with django_assert_max_num_queries(14):
        client.get(within(link, link.path))


LINK = re.compile(r"""(?:href|src|action|hx-get|hx-post)="([^"]*)"|"(/[^"\\]*)\"""")


def addresses_on(page, base):
    for attribute, string in LINK.findall(page):
        found = urljoin(base, html.unescape(attribute or string)).split("#")[0]
        if not found.startswith(("/static/", "data:")):
            yield found


def walk(client, link, *, most=250):
    """Every page that can be reached from a link, by its address."""
    waiting, seen = [within(link, link.path)], {}
    while waiting and len(seen) < most:
        address = waiting.pop(0)
        if address in seen or address.count("&") > 1:
            continue
        response = client.get(address)
        body = b"".join(response.streaming_content) if response.streaming else response.content
        seen[address] = (response.status_code, body.decode())
        if response.status_code == 200:
            waiting += addresses_on(seen[address][1], address)
        elif response.status_code == 302:
            waiting.append(response.url)
    return seen


@pytest.mark.parametrize("kind", SHOWN)
def test_no_way_leads_out(client, played, other, share, kind):
    link = shared_of(kind, played, share)
    pages = walk(client, link)
    assert len(pages) > 10
    theirs = set(other.rollouts().values_list("pk", flat=True))
    arms = set(other.arms.values_list("pk", flat=True))
    for address, (status, page) in pages.items():
        assert address.startswith(within(link)), address
        assert status in (200, 204, 302), address
        assert other.name not in page
        assert other.slug not in page
        assert not theirs & set(map(int, re.findall(r"/rollouts/(\d+)", page)))
        assert not arms & set(map(int, re.findall(r"arm=(\d+)", page)))
        assert 'method="post"' not in page
        if kind == "rollout":
            assert played.name not in page
            assert played.slug not in page
            assert set(re.findall(r"/rollouts/(\d+)", page)) <= {str(link.rollout_id)}


@pytest.mark.parametrize("kind", SHOWN)
def test_an_address_with_a_token_goes_no_further(client, played, share, kind, settings):
    link = shared_of(kind, played, share)
    for address in (within(link), within(link, link.path), within(link, "/launch/"), "/s/nothing/"):
        headers = client.get(address).headers
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Robots-Tag"] == "noindex, nofollow"
        assert headers["X-Frame-Options"] == "DENY"
        assert {"private", "no-store"} <= set(headers["Cache-Control"].split(", "))
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Referrer-Policy" in client.get("/").headers
    assert client.get("/").headers["Referrer-Policy"] != "no-referrer"


def test_sharing_a_page(client, reader, played):
    path = reverse("experiment", args=[played.slug])
    page = reader.get(f"{path}?unscored=zero").content.decode()
    form = dict(re.findall(r'<input type="hidden" name="(path|query)" value="([^"]*)">', page))
    assert form == {"path": path, "query": "unscored=zero"}
    response = reader.post(reverse("share"), form)
    link = SharedLink.objects.get()
    assert response.url == f"/shared/?made={link.pk}"
    assert (link.kind, link.experiment, link.created_by.username) == ("experiment", played, "ada")
    fragment = reader.post(reverse("share"), form, headers={"HX-Request": "true"}).content.decode()
    assert f"http://testserver/s/{link.token}/" in fragment
    assert SharedLink.objects.count() == 1
    link.revoke()
    reader.post(reverse("share"), form)
    assert SharedLink.objects.alive().get().token != link.token


def test_what_cannot_be_shared(reader, played):
    for path, query in [
        ("/", ""),
        ("/launch/", ""),
        ("/nothing/", ""),
        ("https://example.org/", ""),
        ("/experiments/nothing/", ""),
        ("/rollouts/999999999/", ""),
        ("/rollouts/99999999999999999999999/", ""),
        (f"/experiments/{played.slug}/rollouts/", ""),
    ]:
        assert reader.post(reverse("share"), {"path": path, "query": query}).status_code == 400, path
    assert reader.post(reverse("share"), {}).status_code == 400
    assert reader.post(reverse("share"), {"path": "/" * 500}).status_code == 400
    assert not SharedLink.objects.exists()


def test_sharing_needs_a_login(client, played):
    for address in ("/share/", "/shared/", "/shared/1/revoke/"):
        assert client.post(address, {"path": "/"}).url.startswith("/login/")


def test_one_sees_and_revokes_ones_own_links(client, reader, ada, played, share):
    grace = User.objects.create(username="grace")
    mine, hers = shared_of("rollout", played, share), share(played.get_absolute_url(), user=grace)
    page = reader.get("/shared/").content.decode()
    assert mine.token in page
    assert hers.token not in page
    assert reader.post(f"/shared/{hers.pk}/revoke/").status_code == 404
    assert reader.get(f"/shared/{mine.pk}/revoke/").status_code == 405
    assert reader.post(f"/shared/{mine.pk}/revoke/").url == "/shared/"
    assert client.get(within(mine, mine.path)).status_code == 404
    assert client.get(within(hers, hers.path)).status_code == 200
    page = reader.get("/shared/").content.decode()
    assert mine.token not in page
    assert "revoked" in page
    before = SharedLink.objects.get(pk=mine.pk).revoked_at
    reader.post(f"/shared/{mine.pk}/revoke/")
    assert SharedLink.objects.get(pk=mine.pk).revoked_at == before


def test_staff_see_and_revoke_all(client, ada, played, share):
    link = shared_of("experiment", played, share)
    client.force_login(User.objects.create(username="root", is_staff=True))
    page = client.get("/shared/").content.decode()
    assert link.token in page
    assert "ada" in page
    client.post(f"/shared/{link.pk}/revoke/")
    assert not SharedLink.objects.alive().exists()


def test_the_list_of_links_is_bounded(reader, played, share, django_assert_max_num_queries):
    for rollout in played.rollouts():
        for _ in range(7):
            share(rollout.get_absolute_url())
    with django_assert_max_num_queries(5):
        page = reader.get("/shared/").content.decode()
    assert page.count("data-row") == 50
    assert 'rel="next"' in page
    assert reader.get("/shared/?after=x").status_code == 200


def test_nothing_is_shared_yet(reader):
    assert "Nothing is shared" in reader.get("/shared/").content.decode()


def test_a_link_ends_with_what_it_shows(client, played, share):
    link = shared_of("experiment", played, share)
    Rollout.objects.all().delete()
    Arm.objects.all().delete()
    played.delete()
    assert client.get(within(link, link.path)).status_code == 404
