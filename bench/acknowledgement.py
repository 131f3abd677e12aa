"""How fast widget requests are acknowledged, beside a bare limit under the same gunicorn.

    python bench/acknowledgement.py [--seconds 3] [--rounds 3]

Both answer the same bytes; rounds alternate. So do those of the bridge with its store in SQLite and
in PostgreSQL. Then 200 requests a second are sent while a worker is
busy with them. What is loaded is a form as Kommo sends it, each with a return URL of its own.
"""

import argparse
import pickle
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from load import Loaded, load
from redis import Redis
from report import Figure, table
from stage import Stage, stage, wait_for_web

from kommo_bridge.integrations.copying import copy_store
from local.partners.kommo.account import Account
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH, encode_widget_request
from local.postgres_server import PostgresServer
from local.processes import procfile_command
from local.redis_server import free_port

PART = "acknowledgement"
CONNECTIONS = (1, 8, 32)
STORE_CONNECTIONS = 8
STORED = 12_000
STEADY_RATE = 200
HERE = Path(__file__).resolve().parent


@dataclass
class Pair:
    """The rounds of both at one number of connections."""

    ours: list[Loaded] = field(default_factory=list)
    limit: list[Loaded] = field(default_factory=list)


def measure(seconds: float = 3, rounds: int = 3) -> list[Figure]:
    """All figures of this part."""
    with stage(accounts=20, worker_concurrency=64) as it, _limit(it) as port:
        it.start("web", "web")
        wait_for_web(it.url)
        requests = _requests(it, it.accounts[:1])
        figures = []
        for connections in CONNECTIONS:
            pair = _compare(it, port, requests, connections, seconds=seconds, rounds=rounds)
            figures += _figures(connections, pair)
        figures += _stores(it, requests, seconds=seconds, rounds=rounds)
        return [*figures, *_while_busy(it, _requests(it, it.accounts), seconds * 5)]


def _compare(
    it: Stage, limit_port: int, requests: Path, connections: int, *, seconds: float, rounds: int
) -> Pair:
    pair = Pair()
    with Redis.from_url(it.settings.redis_url) as redis:
        for _ in range(rounds):
            for into, port in ((pair.limit, limit_port), (pair.ours, int(it.environ["PORT"]))):
                redis.flushall()
                into.append(load(port, requests, connections=connections, seconds=seconds))
    return pair


def _figures(connections: int, pair: Pair) -> list[Figure]:
    ours = median(one.rate for one in pair.ours)
    limit = median(one.rate for one in pair.limit)
    ratio = ours / limit
    at = f"{connections} connection{'s' * (connections > 1)}"
    beside = f"{limit:,.0f}/s bare LPUSH"
    rows = [Figure(PART, f"rate at {at}", ours, "/s", beside, ratio, ">= 0.75", ratio >= 0.75)]
    for share in (0.5, 0.99):
        mine = median(one.percentile(share) for one in pair.ours)
        theirs = median(one.percentile(share) for one in pair.limit)
        name = f"p{share * 100:.0f} at {at}"
        rows.append(Figure(PART, name, mine, "ms", f"{theirs:.2f} ms", mine / theirs))
    return rows


def _stores(it: Stage, requests: Path, *, seconds: float, rounds: int) -> list[Figure]:
    """The same bridge beside itself, its integrations in PostgreSQL."""
    with PostgresServer() as server:
        url, port = server.new_database(), free_port()
        copy_store(str(it.settings.database_path), url, replace=False)
        environ = it.environ | {"DATABASE_URL": url, "PORT": str(port)}
        with _web(procfile_command("web"), environ, it.folder / "postgres.log", port):
            pair = _compare(it, port, requests, STORE_CONNECTIONS, seconds=seconds, rounds=rounds)
    # What `_compare` calls the limit is here the bridge on PostgreSQL.
    rows = []
    for name, unit, of in (
        ("rate", "/s", lambda one: one.rate),
        ("p50", "ms", lambda one: one.percentile(0.5)),
        ("p99", "ms", lambda one: one.percentile(0.99)),
    ):
        sqlite, postgres = median(map(of, pair.ours)), median(map(of, pair.limit))
        title = f"{name} at {STORE_CONNECTIONS} connections, PostgreSQL"
        ratio, goal = postgres / sqlite, ">= 0.95" if name == "rate" else ""
        good = ratio >= 0.95 if goal else None
        rows.append(Figure(PART, title, postgres, unit, f"{sqlite:,.2f} SQLite", ratio, goal, good))
    return rows


def _while_busy(it: Stage, requests: Path, seconds: float) -> list[Figure]:
    """The AI thinks for a second; the worker is at it all the time."""
    with Redis.from_url(it.settings.redis_url) as redis:
        redis.flushall()
    it.ai.delay_seconds = 1
    it.start("worker", "worker")
    wait_for_web(it.url, workers=1)
    port = int(it.environ["PORT"])
    found = load(port, requests, connections=32, seconds=seconds, rate=STEADY_RATE)
    asked = it.ai.count
    it.kill("worker")
    p99 = found.percentile(0.99)
    busy = f"{asked / seconds:.0f} answers/s under way"
    return [
        Figure(PART, "p50 at 200/s, worker busy", found.percentile(0.5), "ms", busy),
        Figure(PART, "p99 at 200/s, worker busy", p99, "ms", busy, None, "< 50 ms", p99 < 50),
        Figure(
            PART, "not acknowledged at 200/s", found.failed, "", "", None, "0", not found.failed
        ),
    ]


def _requests(it: Stage, accounts: Sequence[Account]) -> Path:
    """As many as a load may need, of the accounts in turn, each of another lead."""
    made = []
    for number in range(STORED):
        account = accounts[number % len(accounts)]
        block = it.kommo.open_block(account)
        content_type, body = encode_widget_request(
            "form",
            token=it.kommo.sign_token(account, entity_id=1 + number, lifetime_seconds=7200),
            data={"message": "Do you deliver on Sundays?", "delivery": "json", "from": "widget"},
            return_url=block.return_url,
        )
        head = (
            f"POST {WIDGET_REQUEST_PATH} HTTP/1.1\r\nHost: bridge\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    path = it.folder / f"requests-{len(accounts)}"
    path.write_bytes(pickle.dumps(made))
    return path


@contextmanager
def _limit(it: Stage) -> Iterator[int]:
    """The bare application under the bridge's own gunicorn settings; yields its port."""
    port = free_port()
    environ = it.environ | {
        "PORT": str(port),
        "LIMIT_SECRET": it.accounts[0].secret_key,
        "PYTHONPATH": str(HERE),
    }
    command = [*procfile_command("web")[:-1], "limit_app:app"]
    with _web(command, environ, it.folder / "limit.log", port):
        yield port


@contextmanager
def _web(
    command: Sequence[str], environ: Mapping[str, str], log_path: Path, port: int
) -> Iterator[None]:
    """A web process beside the stage's own."""
    with log_path.open("ab") as log:
        process = subprocess.Popen(command, env=environ, cwd=HERE.parent, stdout=log, stderr=log)
    try:
        wait_for_web(f"http://127.0.0.1:{port}")
        yield
    finally:
        process.terminate()
        process.wait(40)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(table(measure(options.seconds, options.rounds)))


if __name__ == "__main__":
    main()
