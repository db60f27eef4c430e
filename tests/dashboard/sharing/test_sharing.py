"""A shared link shows one thing and nothing else, until it is revoked."""

import html
import re
from urllib.parse import urlencode, urljoin

import pytest
from django.contrib.auth.models import User
from django.core.signing import Signer
from django.urls import URLPattern, get_resolver, reverse

from rlm_runs.models import Arm, Execution, Rollout, SharedLink, Trajectory, Turn
from tests.factories.traces import make_experiment, play_all

REPLAY = {
    *("rollout", "rollout-live", "rollout-now", "call", "batch", "prompt", "text", "api-rollout"),
    *("rollout-timeline", "rollout-flame", "rollout-context", "rollout-answer", "rollout-variables"),
    *("rollout-input", "rollout-diagnosis", "rollout-spans", "rollout-standalone"),
    *("rollout-search", "rollout-inspector"),
}
LISTS = {"experiment-rollouts", "experiment-rollouts-csv", "api-experiment-rollouts"}
SECTIONS = {"experiment", "experiment-live", "experiment-arms", "experiment-arms-live", "experiment-settings"}
TYPES = {"example-types", "example-types-csv", "example-types-json"}
EXPERIMENT = SECTIONS | TYPES | LISTS | {"figures", "figures-live", "figure-small"}
BEHAVIOUR = {"behaviour", "behaviour-csv", "behaviour-json"}
FIGURE = {"figure", "figure-live", "figure-csv", "figure-json"}
COMPARISON = {"compare", "compare-prompts", "compare-matrix-csv", "compare-measures-csv", "compare-json"}
PAIR = {"compare-rollouts", "compare-rollouts-json"}
SHOWN = {
    "experiment": EXPERIMENT | BEHAVIOUR | FIGURE | REPLAY,
    "comparison": COMPARISON | PAIR | REPLAY,
    "figure": FIGURE,
    "rollout": REPLAY,
}
"""What each kind of link opens, by the names of the views. Whatever is not here must be closed."""


@pytest.fixture
def other(played):
    """Another experiment on the same examples."""
    found = make_experiment(name="the secret of others")
    play_all(found)
    return found


@pytest.fixture
def share(ada):
    """Makes a link to a page as the page's button does."""

    def make(path, query="", user=ada):
        from dashboard.sharing.links import link_to

        link = link_to(path, query)
        link.created_by = user
        link.save()
        return link

    return make


def within(link, path=""):
    return f"/s/{link.token}{path or '/'}"


def home(link):
    return within(link, link.path + (f"?{link.query}" if link.query else ""))


def a_rollout(experiment):
    return experiment.rollouts().filter(sub_calls__gt=0, arm__scaffold="rlm").order_by("pk").first()


def shared_of(kind, experiment, share):
    return share(
        {
            "experiment": reverse("experiment", args=[experiment.slug]),
            "figure": reverse("figure", args=[experiment.slug, "reward"]),
            "comparison": reverse("compare"),
            "rollout": reverse("rollout", args=[a_rollout(experiment).pk]),
        }[kind],
        arms_of(experiment) if kind == "comparison" else "",
    )


def arms_of(experiment):
    """The query string that compares the two arms with sub-calls."""
    return urlencode({"arm": experiment.arms.exclude(scaffold="llm").values_list("pk", flat=True)}, doseq=True)


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
    found = {
        name: reverse(name, kwargs={part: values.get(part, 1) for part in pattern.pattern.converters})
        for name, pattern in every_view()
    }
    for name in COMPARISON:
        found[name] += f"?{arms_of(experiment)}"
    beside = experiment.rollouts().filter(example=rollout.example, arm__scaffold="rlm_tips").first()
    for name in PAIR:
        found[name] += f"?a={rollout.pk}&b={beside.pk}&{arms_of(experiment)}"
    return found


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
    for name, address in every_address(other).items() - {("home", "/")}:
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
    link.query = "&".join(filter(None, (link.query, "unscored=zero")))
    link.save()
    for address in (within(link), within(link)[:-1]):
        response = client.get(address)
        assert (response.status_code, response.url) == (302, within(link, f"{link.path}?{link.query}"))
    assert client.get(response.url).status_code == client.head(response.url).status_code == 200


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


def test_no_address_on_the_first_page_is_closed(client, played, share):
    for kind in SHOWN:
        link = shared_of(kind, played, share)
        for address in addresses_on(client.get(home(link)).content.decode(), home(link)):
            assert client.get(address).status_code in (200, 204, 302), address


def test_an_address_that_is_too_long_is_not_shown(client, played, share):
    link = shared_of("experiment", played, share)
    for query in ("&".join(["a"] * 1_001), "q=" + "x" * 5_000):
        response = client.get(f"{home(link)}?{query}")
        assert (response.status_code, response.headers["Referrer-Policy"]) == (404, "no-referrer")
        assert "Not part of what was shared" in response.content.decode()


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
        anonymous = Client().get(home(link))
        response = reader.get(home(link))
        assert response.content == anonymous.content
        assert not response.cookies
        assert not anonymous.cookies
        assert "ada" not in re.findall(r"\w+", response.content.decode())


def test_the_prefix_ends_with_the_request(client, reader, played, share):
    link = shared_of("experiment", played, share)
    reader.get(home(link))
    assert reverse("experiments") == "/experiments/"
    assert f'href="{link.path}rollouts/' in reader.get(link.path).content.decode()


def test_a_link_costs_two_queries_more(client, played, share, django_assert_max_num_queries):
    link = shared_of("rollout", played, share)
    with django_assert_max_num_queries(14):
        client.get(home(link))


LINK = re.compile(r"""(?:href|src|action|hx-get|hx-post)="([^"]*)"|"(/[a-z][^"\\]*)\"""")


def addresses_on(page, base):
    for attribute, string in LINK.findall(page):
        found = urljoin(base, html.unescape(attribute or string).removeprefix("http://testserver")).split("#")[0]
        if not found.startswith(("/static/", "data:")):
            yield found


def walk(client, link, *, most=250):
    """Every page that can be reached from a link, by its address."""
    waiting, seen = [home(link)], {}
    while waiting and len(seen) < most:
        address = waiting.pop(0)
        if address in seen or (link.kind == "experiment" and address.count("&") > 1):
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


def test_a_shared_list_of_rollouts_tells_nothing_of_others(client, played, other, share):
    link = shared_of("experiment", played, share)
    rollouts = reverse("experiment-rollouts", args=[played.slug])
    for q in (
        "experiment:nothing",
        "-experiment:nothing",
        "secret",
        f"arm:{other.arms.first().pk}",
        "id:1..999999",
    ):
        page = client.get(within(link, f"{rollouts}?{urlencode({'q': q})}")).content.decode()
        assert other.slug not in page, q
        assert other.name not in page, q
        assert not re.findall(
            rf"/rollouts/({'|'.join(map(str, other.rollouts().values_list('pk', flat=True)))})/", page
        )
    if "filter-completions" in dict(every_view()):
        complete = within(link, reverse("filter-completions"))
        for q in ("experiment:", "arm:", "model:", ""):
            own = client.get(f"{complete}?{urlencode({'q': q, 'experiment': played.slug})}")
            assert own.status_code == 200
            assert other.slug not in own.content.decode()
            for experiment in ("", other.slug):
                asked = urlencode({"q": q, "experiment": experiment})
                assert client.get(f"{complete}?{asked}").status_code == 404


@pytest.mark.parametrize("kind", SHOWN)
def test_an_address_with_a_token_goes_no_further(client, played, share, kind, settings):
    link = shared_of(kind, played, share)
    for address in (within(link), home(link), within(link, "/launch/"), "/s/nothing/"):
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
    assert client.get(home(link)).status_code == 404


def test_a_figure_stays_the_one_that_was_shared(client, played, other, share):
    path = reverse("figure", args=[played.slug, "reward"])
    arm = played.arms.first().pk
    link = share(path, f"arm={arm}&unscored=zero")
    base = within(link, path)
    for query in (
        f"arm={arm}",
        f"arm={arm}&unscored=common",
        f"arm={arm}&embed=1",
        f"arm={arm}&bins=5&form=bars",
    ):
        assert client.get(f"{base}?{query}").status_code == 200, query
    for query in (
        "",
        f"arm={arm}&arm={arm + 1}",
        f"arm={arm + 1}",
        f"arm={arm}&measure=cost",
        f"arm={arm}&by=scaffold",
    ):
        assert client.get(f"{base}?{query}").status_code == 404, query
    for elsewhere in (
        reverse("figure", args=[played.slug, "tokens"]),
        reverse("figure", args=[other.slug, "reward"]),
        reverse("figure", args=[played.slug, "nothing"]),
    ):
        assert client.get(within(link, f"{elsewhere}?arm={arm}")).status_code == 404


def test_only_a_shared_figure_that_is_embedded_may_be_framed(client, reader, played, share):
    link = shared_of("figure", played, share)
    framed = client.get(f"{home(link)}?embed=1")
    assert "frame-ancestors *" in framed.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in framed.headers
    assert 'class="top"' not in framed.content.decode()
    whole = shared_of("experiment", played, share)
    for response in (
        client.get(home(link)),
        client.get(f"{home(link)}?embed=0"),
        client.get(f"{home(whole)}?embed=1"),
        client.get(within(whole, f"{link.path}?embed=1")),
        client.get(within(link, "/nothing/?embed=1")),
        reader.get(f"{link.path}?embed=1"),
    ):
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Frame-Options"] == "DENY"


def test_a_comparison_stays_among_its_arms(client, played, other, share):
    link = shared_of("comparison", played, share)
    first, second = link.arms
    llm = played.arms.get(scaffold="llm")
    foreign = other.arms.first()
    base = within(link, "/compare/")
    for query in (f"arm={second}&arm={first}", f"arm={first}&arm={second}&unscored=zero&sort=example"):
        assert client.get(f"{base}?{query}").status_code == 200, query
    for query in (
        "",
        f"arm={first}",
        f"arm={first}&arm={second}&arm={llm.pk}",
        f"arm={first}&arm={foreign.pk}",
        f"arm={first}&arm={second}&pick=1",
        f"arm={first}&arm={second}&find-experiment=secret",
    ):
        assert client.get(f"{base}?{query}").status_code == 404, query
    ours, theirs = a_rollout(played), a_rollout(other)
    plain = played.rollouts().filter(arm=llm).first()
    beside = played.rollouts().filter(arm=second).first()
    pair, as_json = within(link, "/compare/rollouts/"), within(link, "/api/compare/rollouts/")
    assert client.get(f"{pair}?a={ours.pk}&b={beside.pk}").status_code == 200
    said = client.get(f"{as_json}?a={ours.pk}&b={beside.pk}").json()
    assert {said["next"], said["previous"], said["a"]["trace"]} - {None}
    for address in {said["next"], said["previous"], said["a"]["trace"]} - {None}:
        assert address.startswith(within(link))
        assert client.get(address).status_code == 200
    for query in (
        f"a={ours.pk}&b={theirs.pk}",
        f"a={theirs.pk}&b={ours.pk}",
        f"a={ours.pk}&b={plain.pk}",
        f"a={ours.pk}&b={beside.pk}&a={theirs.pk}",
        f"a={ours.pk}&b={beside.pk}&arm={foreign.pk}",
        f"a={ours.pk}&b={beside.pk}&arm={llm.pk}",
        "a=x&b=y",
        f"a={ours.pk}",
        "",
    ):
        assert client.get(f"{pair}?{query}").status_code == 404, query
        assert client.get(f"{as_json}?{query}").status_code == 404, query
    for rollout in (plain, theirs):
        assert client.get(within(link, rollout.get_absolute_url())).status_code == 404


def test_a_comparison_whose_arms_went_away_offers_no_others(client, played, other, share):
    mixed = [played.arms.get(scaffold="rlm").pk, other.arms.get(scaffold="rlm").pk]
    link = share("/compare/", urlencode({"arm": mixed}, doseq=True))
    Rollout.objects.filter(experiment=other).delete()
    other.arms.all().delete()
    page = client.get(home(link)).content.decode()
    assert 'id="pick"' not in page
    assert other.name not in page


def test_a_comparison_has_two_arms_that_exist(reader, played):
    arm = played.arms.first().pk
    for query in ("", f"arm={arm}", f"arm={arm}&arm={arm}", f"arm={arm}&arm=999999999", f"arm={arm}&arm=x"):
        assert reader.post(reverse("share"), {"path": "/compare/", "query": query}).status_code == 400, query
