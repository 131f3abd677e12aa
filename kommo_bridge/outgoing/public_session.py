"""A session for addresses that somebody else chose: https to public addresses only.

A name may lead anywhere, and elsewhere a moment later. So the addresses are looked up and checked
where the connection is made, and the connection goes to exactly the one that was checked.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import requests
from urllib3.connectionpool import HTTPSConnectionPool

from kommo_bridge.outgoing.requests_session import (
    LimitedAdapter,
    LimitedHTTPSConnection,
    limited_session,
)
from kommo_bridge.outgoing.total_limit import seconds_left

HTTPS_PORT = 443
# All IPv6 addresses of the internet begin like this; two parts of them stand for IPv4 addresses,
# which a translator between here and there would connect to.
INTERNET_V6 = ipaddress.IPv6Network("2000::/3")
TRANSLATED_V6 = (ipaddress.IPv6Network("2001::/32"), ipaddress.IPv6Network("2002::/16"))

# Whether an address and port may be connected to.
Rule = Callable[[str, int], bool]
Resolve = Callable[..., list[Any]]


class NotPublic(OSError):
    """No address of a name may be connected to."""


def is_public(address: str, port: int) -> bool:
    """Whether it is https' own port of an address that anybody on the internet may reach."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped), port)
        if ip not in INTERNET_V6 or any(ip in network for network in TRANSLATED_V6):
            return False
    return port == HTTPS_PORT and ip.is_global and not ip.is_multicast


def public_session(
    allowed: Rule = is_public, resolve: Resolve = socket.getaddrinfo
) -> requests.Session:
    """A session that makes https connections only, and only where `allowed`.

    Args:
        allowed: Another rule is for tests.
        resolve: As `socket.getaddrinfo`.
    """
    session = limited_session()
    session.adapters.clear()
    session.mount("https://", _PublicAdapter(_pool_class(allowed, resolve)))
    return session


class _PublicAdapter(LimitedAdapter):
    def __init__(self, pool_class: type[HTTPSConnectionPool]) -> None:
        self._pool_class = pool_class
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"https": self._pool_class}


def _pool_class(allowed: Rule, resolve: Resolve) -> type[HTTPSConnectionPool]:
    class Connection(LimitedHTTPSConnection):
        def _new_conn(self) -> socket.socket:
            port = self.port or HTTPS_PORT
            found = _looked_up(resolve, self.host, port, self.timeout)
            places = [place for place in found if allowed(place[4][0], place[4][1])]
            if not places:
                raise NotPublic("no address of this host is public")
            return _connected(places, self.timeout)

    class Pool(HTTPSConnectionPool):
        ConnectionCls = Connection

    return Pool


def _looked_up(resolve: Resolve, host: str, port: int, timeout: float | None) -> list[Any]:
    """The addresses of a host; a look-up has no time limit of its own, so a thread waits for it."""
    results: SimpleQueue[list[Any] | OSError] = SimpleQueue()

    def look_up() -> None:
        try:
            results.put(resolve(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            results.put(error)
        except UnicodeError:  # no name that a look-up takes, such as one of a hundred letters
            results.put(OSError("not a name of a host"))

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        result = results.get(timeout=seconds_left(timeout))
    except Empty:
        raise TimeoutError("the address was not found in time") from None
    if isinstance(result, OSError):
        raise result
    return result


def _connected(places: list[Any], timeout: float | None) -> socket.socket:
    """A connection to the first place that takes it."""
    problem: OSError = OSError("no address")
    for family, kind, protocol, _, address in places:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds_left(timeout))
            connection.connect(address)
        except OSError as error:
            connection.close()
            problem = error
        else:
            return connection
    raise problem
