"""Where an access token may go: to the verified account's own host, and nowhere else."""

import re

from kommo_bridge.errors import InvalidRequest, InvalidReturnUrl, KommoError
from kommo_bridge.settings import is_loopback

MAX_RETURN_URL_CHARACTERS = 2048

# https://developers.kommo.com/reference/salesbot-widget-block-execution-confirmation
# Matched as a whole and on the raw text: what a URL parser would repair, such as %41, is refused.
RETURN_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.\-]+(?::[0-9]{1,5})?|\[[0-9a-f:]+\]:[0-9]{1,5})"
    r"/api/v4/(?:salesbot|marketingbot)/[A-Za-z0-9_-]{1,128}/continue/[A-Za-z0-9_-]{1,128}"
    r"(?:\?[A-Za-z0-9_.~=&+-]+)?",
    re.ASCII,
)


def check_return_url(url: object, host: str, extra_hosts: frozenset[str]) -> str:
    """Return the URL unchanged if the access token may go there.

    It must be https on the account's own host without user-info and port, and its path that of a
    continue call. A host of `extra_hosts` is accepted too, by plain http only on this machine.

    Raises:
        InvalidRequest: It is missing, not text or too long.
        InvalidReturnUrl: It leads anywhere else.
    """
    if not isinstance(url, str) or not url:
        raise InvalidRequest("The field return_url is missing or is not text.")
    if len(url) > MAX_RETURN_URL_CHARACTERS:
        raise InvalidRequest("The field return_url is too long.")
    match = RETURN_URL.fullmatch(url)
    if match and _may_be_called(match["scheme"], match["host"], host, extra_hosts):
        return url
    raise InvalidReturnUrl("The return URL is not a continue URL of the account that sent it.")


def check_base_url(url: str, host: str, extra_hosts: frozenset[str]) -> str:
    """Return a base URL, scheme and host alone, if the access token may go there.

    Raises:
        KommoError: It leads anywhere else.
    """
    scheme, _, place = url.partition("://")
    if _may_be_called(scheme, place, host, extra_hosts):
        return url
    raise KommoError("the address is not the account's own", permanent=True)


def base_url_of(host: str, extra_hosts: frozenset[str]) -> str:
    """Where an account is asked: at its own host, or at a local stand-in, the only extra host."""
    if len(extra_hosts) != 1:
        return f"https://{host}"
    extra = min(extra_hosts)
    scheme = "http" if is_loopback(extra.rpartition(":")[0]) else "https"
    return f"{scheme}://{extra}"


def _may_be_called(scheme: str, place: str, host: str, extra_hosts: frozenset[str]) -> bool:
    if place == host:
        return scheme == "https"
    plain = scheme == "http" and is_loopback(place.rpartition(":")[0])
    return place in extra_hosts and (plain or scheme == "https")
