"""Pages are fetched from real servers on loopback, and only where the rule allows it."""

import gzip
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from website import HTML, Website

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.fetch import Page, Pages, Version, check_url, next_url
from kommo_bridge.knowledge.read import MAX_BYTES
from local.partners.http.exchange import Answer, Request
from local.partners.http.faults import Drip, Hang, Huge, Reset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the website's certificate is."""
    return tmp_path_factory.mktemp("tls")


@pytest.fixture
def website(folder: Path) -> Iterator[Website]:
    with Website(folder) as server:
        server.pages["/menu"] = Answer(200, b"<p>Soup 5</p>", HTML)
        yield server


@pytest.fixture
def pages(website: Website) -> Pages:
    return website.fetcher()


def redirect(location: str) -> Answer:
    return Answer(302, headers={"Location": location})


def test_a_page_is_fetched_with_its_version(website: Website, pages: Pages) -> None:
    named = {"ETag": '"1"', "Last-Modified": "Sat, 28 Nov 2026 10:00:00 GMT"}
    website.pages["/menu"] = Answer(200, b"<p>Soup 5</p>", {**HTML, **named})

    page = pages.fetch(website.address("/menu#soups"))

    version = Version('"1"', "Sat, 28 Nov 2026 10:00:00 GMT")
    assert page == Page(b"<p>Soup 5</p>", HTML["Content-Type"], version)


def test_a_known_version_is_not_fetched_again(website: Website, pages: Pages) -> None:
    def menu(request: Request) -> Answer:
        given = request.headers["If-None-Match"], request.headers["If-Modified-Since"]
        return Answer(304) if given == ('"1"', "yesterday") else Answer(200, b"new", HTML)

    website.pages["/menu"] = menu

    assert pages.fetch(website.address(), Version('"1"', "yesterday")) is None
    assert pages.fetch(website.address(), Version('"0"')) is not None
    assert pages.fetch(website.address()) is not None


def test_three_redirects_are_followed_and_no_more(website: Website, pages: Pages) -> None:
    for number in range(4):
        website.pages[f"/{number}"] = redirect(f"/{number + 1}")
    website.pages["/4"] = Answer(200, b"here", HTML)

    page = pages.fetch(website.address("/1"))

    assert page
    assert page.data == b"here"
    with pytest.raises(KnowledgeError, match="more than 3 times"):
        pages.fetch(website.address("/0"))


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost/",
        "file:///etc/passwd",
        "https://user:word@localhost/",
        "https://[broken/",
    ],
)
def test_a_redirect_to_what_may_not_be_asked_for_is_refused(
    location: str, website: Website, pages: Pages
) -> None:
    website.pages["/menu"] = redirect(location)

    with pytest.raises(KnowledgeError, match="leads on to an address that is not read"):
        pages.fetch(website.address())


def test_a_redirect_to_an_address_that_is_not_public_is_refused(
    website: Website, pages: Pages, folder: Path
) -> None:
    with Website(folder) as inside:
        inside.pages["/secret"] = Answer(200, b"secret", HTML)
        website.pages["/menu"] = redirect(inside.address("/secret"))

        with pytest.raises(KnowledgeError, match="not on the public internet"):
            pages.fetch(website.address())

        assert inside.connections == 0
        assert not inside.asked


def test_by_itself_loopback_is_not_public(website: Website) -> None:
    with pytest.raises(KnowledgeError, match="not on the public internet"):
        Pages(ca_file=str(website.certificate)).fetch(website.address())

    assert website.connections == 0


def test_a_name_that_leads_elsewhere_a_moment_later_is_caught(website: Website) -> None:
    """The address is looked up once for a connection, and that very address is connected to."""
    looked_up: list[str] = []

    def resolve(host: str, port: int, **_options: Any) -> list[Any]:
        address = "127.0.0.1" if not looked_up else "127.0.0.2"
        looked_up.append(address)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))]

    website.pages["/menu"] = Answer(302, headers={"Location": "/next", "Connection": "close"})
    pages = Pages(
        lambda address, _: address == "127.0.0.1", ca_file=str(website.certificate), resolve=resolve
    )

    with pytest.raises(KnowledgeError, match="not on the public internet"):
        pages.fetch(website.address())

    assert looked_up == ["127.0.0.1", "127.0.0.2"]
    assert website.asked == ["/menu"]


def test_a_look_up_that_takes_too_long_is_given_up(website: Website) -> None:
    over = threading.Event()

    def resolve(host: str, port: int, **_options: Any) -> list[Any]:
        over.wait(30)
        return []

    pages = Pages(resolve=resolve, seconds=0.2)

    try:
        with pytest.raises(KnowledgeError, match="did not arrive within 20 seconds"):
            pages.fetch(website.address())
    finally:
        over.set()


def test_of_several_addresses_only_the_public_ones_are_tried(website: Website) -> None:
    def resolve(host: str, port: int, **_options: Any) -> list[Any]:
        found = ("127.0.0.3", "127.0.0.2", "127.0.0.1")  # not allowed; nobody there; the website
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (one, port)) for one in found]

    pages = Pages(
        lambda address, _: address != "127.0.0.3", ca_file=str(website.certificate), resolve=resolve
    )

    assert pages.fetch(website.address())


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (Answer(401), "asks for a login"),
        (Answer(403), "refuses to be read by a program"),
        (Answer(404), r"is not there \(the server answered 404\): check the address"),
        (Answer(410), "not there any more"),
        (Answer(500), "cannot be had now"),
        (Answer(302), "cannot be had now"),
        (Answer(200, b"x" * (MAX_BYTES + 1), HTML), "larger than 5 MiB"),
        (Answer(200, gzip.compress(b"x" * (MAX_BYTES + 1)), HTML), "larger than 5 MiB"),
        (Answer(200, b"\x1f\x8b broken", HTML), "is sent broken"),
    ],
)
def test_what_a_server_refuses_is_told_with_advice(
    answer: Answer, advice: str, website: Website, pages: Pages
) -> None:
    website.pages["/menu"] = answer

    with pytest.raises(KnowledgeError, match=advice):
        pages.fetch(website.address())


def test_a_page_without_a_length_ends_at_the_limit(website: Website, pages: Pages) -> None:
    website.faults.order(Huge())

    with pytest.raises(KnowledgeError, match="larger than 5 MiB"):
        pages.fetch(website.address())


def test_a_packed_page_is_unpacked(website: Website, pages: Pages) -> None:
    packed = {**HTML, "Content-Encoding": "gzip"}
    website.pages["/menu"] = Answer(200, gzip.compress(b"<p>Soup</p>"), packed)

    page = pages.fetch(website.address())

    assert page
    assert page.data == b"<p>Soup</p>"


@pytest.mark.parametrize("fault", [Hang(), Drip(0.05)])
def test_a_slow_page_is_given_up_in_all(fault: Any, website: Website) -> None:
    website.faults.order(fault, times=None)
    pages = Pages(lambda *_: True, ca_file=str(website.certificate), seconds=0.3)

    with pytest.raises(KnowledgeError, match="did not arrive within 20 seconds"):
        pages.fetch(website.address())


def test_a_server_that_breaks_off_is_told(website: Website, pages: Pages) -> None:
    website.faults.order(Reset(), times=None)

    with pytest.raises(KnowledgeError, match="cannot be reached"):
        pages.fetch(website.address())


def test_a_certificate_that_nobody_vouches_for_is_refused(website: Website) -> None:
    with pytest.raises(KnowledgeError, match="certificate is not valid"):
        Pages(lambda *_: True).fetch(website.address())


@pytest.mark.parametrize("host", ["nobody.invalid", "a" * 100 + ".example", "a..example"])
def test_a_name_that_does_not_exist_is_told(host: str) -> None:
    with pytest.raises(KnowledgeError, match="cannot be reached: check the address"):
        Pages().fetch(f"https://{host}/")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("http://example.com/", "Only pages with https"),
        ("ftp://example.com/", "Only pages with https"),
        ("https://user@example.com/", "name or password in it"),
        ("https:///menu", "no address of a page"),
        ("https://example.com:port/", "no address of a page"),
        ("https://exa mple.com/", "no address of a page"),
        ("https://example.com/\r\nHost: x", "no address of a page"),
        ("https://[::1/", "no address of a page"),
        ("https://example.com/" + "x" * 2000, "no address of a page"),
        ("menu.html", "no address of a page"),
    ],
)
def test_an_address_that_may_not_be_asked_for_is_refused(url: str, advice: str) -> None:
    with pytest.raises(KnowledgeError, match=advice):
        check_url(url)


def test_a_redirect_may_be_relative() -> None:
    assert next_url("https://example.com/a/b?c", "../d#e") == "https://example.com/d"


def test_a_fetch_takes_no_proxy_from_the_environment(
    website: Website, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    assert pages.fetch(website.address())
