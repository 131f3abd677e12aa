"""Fetches the pages that a business names: https, public addresses, and only so much of each.

What may be asked for is decided by pure functions; whether an address is public is checked by
`outgoing.public_session` where the connection is made.
"""

import zlib
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import requests

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.read import MAX_BYTES
from kommo_bridge.outgoing.public_session import NotPublic, Resolve, Rule, is_public, public_session
from kommo_bridge.outgoing.total_limit import LimitReached, TooLarge, total_limit

SECONDS = 20.0
MAX_REDIRECTS = 3
MAX_URL_CHARACTERS = 2000
HEAD_BYTES = 64 * 1024
ACCEPT = "text/html, text/plain, text/markdown, text/csv, application/pdf;q=0.9, */*;q=0.5"
GZIP = b"\x1f\x8b"
TOO_LARGE = "The page is larger than 5 MiB: save the part that customers ask about as a file."
REFUSALS = {
    HTTPStatus.UNAUTHORIZED: "asks for a login",
    HTTPStatus.FORBIDDEN: "refuses to be read by a program",
    HTTPStatus.NOT_FOUND: "is not there",
    HTTPStatus.GONE: "is not there any more",
}


@dataclass(frozen=True)
class Version:
    """How a server names the version of a page; both may be empty."""

    etag: str = ""
    last_modified: str = ""

    def headers(self) -> dict[str, str]:
        """What asks for the page only if it has changed."""
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class Page:
    """What a server sent."""

    data: bytes
    content_type: str
    version: Version


def check_url(url: str) -> str:
    """The address of a page that may be asked for.

    Raises:
        KnowledgeError: It is not https, or names more than a host and a place on it.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or len(url) > MAX_URL_CHARACTERS or not url.isprintable() or " " in url:
        raise KnowledgeError("This is no address of a page: it looks like https://example.com/menu")
    if parts.scheme != "https":
        raise KnowledgeError("Only pages with https:// are read: give that address, or add a file.")
    if "@" in parts.netloc:
        raise KnowledgeError("An address with a name or password in it is not read: add a file.")
    return url.partition("#")[0]


def next_url(url: str, location: str) -> str:
    """Where a redirect leads.

    Raises:
        KnowledgeError: To something that may not be asked for.
    """
    try:
        return check_url(urljoin(url, location))
    except (KnowledgeError, ValueError):
        raise KnowledgeError(
            "The page leads on to an address that is not read: give the last one yourself."
        ) from None


class Pages:
    """Fetches pages.

    Args:
        allowed: Which addresses may be connected to; another rule is for tests.
        ca_file: Certificates that are trusted instead of the usual ones, for tests.
        seconds: The time for one page in all.
    """

    def __init__(
        self,
        allowed: Rule = is_public,
        *,
        ca_file: str | None = None,
        seconds: float = SECONDS,
        resolve: Resolve | None = None,
    ) -> None:
        self._allowed = allowed
        self._ca_file = ca_file
        self._seconds = seconds
        self._resolve = {"resolve": resolve} if resolve else {}

    def fetch(self, url: str, known: Version = Version()) -> Page | None:
        """The page, or None when it is still the known version.

        Raises:
            KnowledgeError: It cannot be had; the sentence says what to do.
        """
        with public_session(self._allowed, **self._resolve) as session:
            try:
                with total_limit(self._seconds, MAX_BYTES + HEAD_BYTES * (1 + MAX_REDIRECTS)):
                    return self._follow(session, check_url(url), known)
            except (requests.RequestException, OSError) as error:
                raise KnowledgeError(_sentence(error)) from None

    def _follow(self, session: requests.Session, url: str, known: Version) -> Page | None:
        for _ in range(1 + MAX_REDIRECTS):
            with session.get(
                url,
                headers={"Accept": ACCEPT, **known.headers()},
                timeout=self._seconds,
                verify=self._ca_file or True,
                allow_redirects=False,
                stream=True,
            ) as response:
                if not response.is_redirect:
                    return _page(response)
                url = next_url(url, response.headers["Location"])
        raise KnowledgeError(
            f"The page leads on more than {MAX_REDIRECTS} times: give the last address yourself."
        )


def _page(response: requests.Response) -> Page | None:
    status = response.status_code
    if status == HTTPStatus.NOT_MODIFIED:
        return None
    if status != HTTPStatus.OK:
        what = REFUSALS.get(HTTPStatus(status)) if status in REFUSALS else "cannot be had now"
        raise KnowledgeError(
            f"The page {what} (the server answered {status}): check the address, or add a file."
        )
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > MAX_BYTES:
        raise KnowledgeError(TOO_LARGE)
    named = (response.headers.get(name, "").strip()[:200] for name in ("ETag", "Last-Modified"))
    kind = response.headers.get("Content-Type", "")
    return Page(_unpacked(response.content), kind, Version(*named))


def _unpacked(data: bytes) -> bytes:
    """The page itself, from a server that packs it although it was asked not to."""
    if data.startswith(GZIP):
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            data = unpack.decompress(data, MAX_BYTES + 1)
        except zlib.error:
            raise KnowledgeError("The page is sent broken: add it as a file.") from None
    if len(data) > MAX_BYTES:
        raise KnowledgeError(TOO_LARGE)
    return data


def _sentence(error: BaseException) -> str:
    """What to do about a call that failed, by its causes."""
    causes = [error]
    while (inner := causes[-1].__cause__ or causes[-1].__context__) and inner not in causes:
        causes.append(inner)
    for kind, sentence in SENTENCES:
        if any(isinstance(cause, kind) for cause in causes):
            return sentence
    return "The page's server cannot be reached: check the address, or add the page as a file."


SENTENCES: tuple[tuple[type[BaseException], str], ...] = (
    (NotPublic, "The page is not on the public internet: save it and add the file."),
    (TooLarge, TOO_LARGE),
    (LimitReached, "The page did not arrive within 20 seconds: try again, or add it as a file."),
    (TimeoutError, "The page did not arrive within 20 seconds: try again, or add it as a file."),
    (
        requests.exceptions.SSLError,
        "The page's certificate is not valid: its address must work in a browser without warnings.",
    ),
)
