"""Slows down whoever guesses a password, per client address, without holding a thread."""

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
IPV6_NETWORK = 64  # one customer of a provider has that many addresses


@dataclass(frozen=True)
class Guesses:
    """Wrong tries of one address, and until when (seconds) it has to wait."""

    wrong: int = 0
    wait_until: float = 0.0


class PasswordGuard:
    """Counts wrong passwords of this process; safe in all threads, and bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: OrderedDict[str, Guesses] = OrderedDict()

    def wait_seconds(self, client: str, *, is_right: bool, now: float) -> float:
        """Count one try; above 0 the client has to wait, and nothing else may be answered.

        From the fifth wrong one on, each doubles the wait (1 s, 2 s, ...), up to a minute. While it
        waits even the right password is refused, or guessing would go on as fast as before.
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
        """Count one try of the running request: 429 when its client has to wait first."""
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
    """Who asks: what the proxy says when one of our own network asks, else the peer itself."""
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
