"""A load of widget requests from a process of its own, over connections that are kept.

    python bench/load.py PORT FILE CONNECTIONS SECONDS [RATE]

FILE holds pickled requests as bytes, each sent once. Without RATE every connection sends its next
request when the last one is answered; with RATE so many are sent each second, however long the
answers take, and latencies count from the moment that was planned. Prints JSON: the latencies of
the answers 200 in milliseconds, how many were others, and the seconds it took.
"""

import json
import pickle
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

OK = b"HTTP/1.1 200"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
PATIENCE_SECONDS = 10.0
# As the pool of a proxy does; kept for ever, all might be held by one process of several.
RENEW_EVERY = 25


@dataclass(frozen=True)
class Loaded:
    """What a load found."""

    milliseconds: list[float]
    failed: int
    seconds: float

    @property
    def rate(self) -> float:
        """Answers 200 per second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in milliseconds that this share of the answers stayed within."""
        return percentile(self.milliseconds, share)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all stays within; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def load(port: int, requests: Path, *, connections: int, seconds: float, rate: float = 0) -> Loaded:
    """Run a load in a process of its own."""
    arguments = [str(port), str(requests), str(connections), str(seconds), str(rate)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True
    )
    return Loaded(**json.loads(done.stdout))


class Client:
    """One kept connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.socket = _connected(port)
        self.since = 0.0
        self.sent = 0

    def send(self, request: bytes, since: float) -> None:
        """Send a request; the server may have closed the idle connection."""
        self.since = since
        self.sent += 1
        if self.sent % RENEW_EVERY == 0:
            self.renew()
        try:
            self.socket.sendall(request)
        except OSError:
            self.renew()
            self.socket.sendall(request)

    def renew(self) -> None:
        """Connect anew."""
        self.socket.close()
        self.socket = _connected(self._port)

    def receive(self) -> bool:
        """Read the whole answer; True for a 200."""
        answer = b""
        while chunk := self.socket.recv(65536):
            answer += chunk
            head, end, body = answer.partition(b"\r\n\r\n")
            length = LENGTH.search(head) if end else None
            if length and len(body) >= int(length[1]):
                break
        return answer.startswith(OK)


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _closed_loop(clients: list[Client], todo: Iterator[bytes], seconds: float) -> Loaded:
    selector = selectors.DefaultSelector()
    times: list[float] = []
    failed = 0
    started = time.perf_counter()
    for client in clients:
        client.send(next(todo), time.perf_counter())
        selector.register(client.socket, selectors.EVENT_READ, client)
    while time.perf_counter() - started < seconds:
        for key, _ in selector.select(PATIENCE_SECONDS):
            client = key.data
            good = client.receive()
            now = time.perf_counter()
            failed += not good
            if good:
                times.append((now - client.since) * 1000)
            selector.unregister(client.socket)
            if not good:
                client.renew()
            client.send(next(todo), now)
            selector.register(client.socket, selectors.EVENT_READ, client)
    return Loaded(times, failed, time.perf_counter() - started)


def _open_loop(clients: list[Client], todo: Iterator[bytes], seconds: float, rate: float) -> Loaded:
    selector = selectors.DefaultSelector()
    idle, times, failed, sent = list(clients), [], 0, 0
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds or len(idle) < len(clients):
        while idle and elapsed < seconds and sent <= elapsed * rate:
            client = idle.pop(0)  # in turn: an idle connection would be closed
            client.send(next(todo), started + sent / rate)
            selector.register(client.socket, selectors.EVENT_READ, client)
            sent += 1
        for key, _ in selector.select(max(0.0, started + sent / rate - time.perf_counter())):
            client = key.data
            good = client.receive()
            selector.unregister(client.socket)
            failed += not good
            if good:
                times.append((time.perf_counter() - client.since) * 1000)
            else:
                client.renew()
            idle.append(client)
        if elapsed > seconds + PATIENCE_SECONDS:
            failed += len(clients) - len(idle)
            break
    return Loaded(times, failed, seconds)


def main() -> None:
    """Load, and print what was found."""
    port, file, connections, seconds, rate = sys.argv[1:]
    todo = iter(pickle.loads(Path(file).read_bytes()))
    clients = [Client(int(port)) for _ in range(int(connections))]
    if float(rate):
        found = _open_loop(clients, todo, float(seconds), float(rate))
    else:
        found = _closed_loop(clients, todo, float(seconds))
    print(json.dumps(vars(found)))


if __name__ == "__main__":
    main()
