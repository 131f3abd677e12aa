"""Slows down password guessing, per client address, without holding a thread."""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from flask import Request, Response, request

from kommo_bridge.web.errors import error_response

FREE_TRIES = 5
LONGEST_WAIT_SECONDS = 60.0
FORGOTTEN_AFTER_SECONDS = 3600.0
MAX_CLIENTS = 1000
IPV6_NETWORK = 64  # one customer of a provider has a whole /64


@dataclass(frozen=True)
class Guesses:
    """One address's wrong passwords, and until when (seconds) it has to wait."""

    wrong: int = 0
    wait_until: float = 0.0


class PasswordGuard:
    """Counts wrong passwords sent to this process; thread-safe and bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: OrderedDict[str, Guesses] = OrderedDict()

    def wait_seconds(self, client: str, *, is_right: bool, now: float) -> float:
        """Count one try; above 0 the client has to wait, and the request must be refused.

        From the fifth wrong password on, each doubles the wait (1 s, 2 s, ...), up to a minute.
        During the wait even the right one is refused; otherwise guessing would not slow down.
        """
        with self._lock:
            known = self._clients.pop(client, Guesses())
            if now < known.wait_until:
                self._keep(client, known)
                return known.wait_until - now
            if is_right:
                return 0.0
            forgotten = now > known.wait_until + FORGOTTEN_AFTER_SECONDS
            wrong = 1 if forgotten else known.wrong + 1
            self._keep(client, Guesses(wrong, now + _wait_after(wrong)))
            return 0.0

    def refuse(self, *, is_right: bool) -> Response | None:
        """Count the running request as one try: 429 when its client has to wait first."""
        client = client_address(request)
        wait = self.wait_seconds(client, is_right=is_right, now=time.monotonic())
        if not wait:
            return None
        message = "Too many wrong passwords from your address. Please wait."
        response = error_response(429, "too_many_tries", message)
        response.headers["Retry-After"] = str(math.ceil(wait))
        return response

    def _keep(self, client: str, guesses: Guesses) -> None:
        self._clients[client] = guesses
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)


def client_address(asking: Request) -> str:
    """The client's address: from the proxy's header if the peer is in our own network."""
    peer = asking.remote_addr or ""
    forwarded = asking.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return _network(forwarded if forwarded and _is_private(peer) else peer)


def _wait_after(wrong: int) -> float:
    over = wrong - FREE_TRIES
    return min(LONGEST_WAIT_SECONDS, 2.0**over) if over >= 0 else 0.0


def _is_private(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:  # a Unix socket
        return True


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 4:  # noqa: PLR2004
        return str(parsed)
    return str(ipaddress.ip_network(f"{parsed}/{IPV6_NETWORK}", strict=False))
