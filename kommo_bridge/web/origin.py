"""Whether a browser's request comes from a page of ours: it sends cookies and passwords on its own
with requests from other sites' pages too."""

from urllib.parse import urlsplit

from flask import request

# https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
OWN_SITES = ("same-origin", "none")


def from_here() -> bool:
    """Also true without any of these headers: no browser omits all three."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in OWN_SITES
    source = request.headers.get("Origin") or request.headers.get("Referer")
    return source is None or urlsplit(source).netloc == request.host
