"""The web process as the Procfile starts it, with broken partners and unpleasant clients."""

import gzip
import json
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import requests
from helpers import INTEGRATION_ID, SECRET_KEY, Salesbot, at_most, wait_for
from redis import Redis

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from local.lateness import Lateness
from local.partners.kommo.account import Account
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH
from local.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
FORM = "application/x-www-form-urlencoded"
CROWD = 40
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ [\w.]+ ")

continue_ids = count(1)


@dataclass(frozen=True)
class Web:
    """A running web process and what it stands on."""

    process: subprocess.Popen[bytes]
    port: int
    redis: RedisServer
    salesbot: Salesbot

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self) -> requests.Response:
        """Send a fresh widget request over a connection of its own."""
        content_type, body = self.salesbot.write(next(continue_ids))
        return requests.post(
            self.url + WIDGET_REQUEST_PATH,
            data=body,
            headers={"Content-Type": content_type, "Connection": "close"},
            timeout=10,
        )

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=8)

    def talk(self, said: bytes) -> bytes:
        """Say something, and listen until the bridge closes the connection."""
        with self.connect() as client:
            client.sendall(said)
            return listen(client)


@pytest.fixture(scope="module")
def redis_of_web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that these tests may stop and freeze."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def web(redis_of_web: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with ExitStack() as stack:
        yield start_web(redis_of_web, tmp_path_factory.mktemp("web"), stack)


def start_web(redis: RedisServer, folder: Path, stack: ExitStack, **environ: str) -> Web:
    """Start the Procfile's line for `web`, and end it when the stack is closed."""
    salesbot = Salesbot(
        Account("acme", 12345678, INTEGRATION_ID, secrets.token_hex(32), secrets.token_hex(32))
    )
    store = IntegrationStore(folder / "bridge.db", SECRET_KEY)
    store.migrate()
    store.save(
        Integration(
            integration_id=INTEGRATION_ID,
            subdomain="acme",
            secret_key=salesbot.account.secret_key,
            access_token=salesbot.account.access_token,
        )
    )
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    log = stack.enter_context((folder / "web.log").open("wb"))
    process = subprocess.Popen(
        procfile_command("web"),
        cwd=ROOT,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SECRET_KEY": SECRET_KEY,
            "REDIS_URL": redis.url,
            "DATABASE_PATH": str(folder / "bridge.db"),
            "PORT": str(port),
            **environ,
        },
        stdout=log,
        stderr=log,
    )
    stack.callback(end, process)
    web = Web(process, port, redis, salesbot)
    wait_for(lambda: answers(web))
    return web


def procfile_command(name: str) -> list[str]:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    return shlex.split(lines[name])


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(web: Web) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"{web.url}/healthz", timeout=1).ok
    return False


def listen(client: socket.socket) -> bytes:
    heard = b""
    with suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            heard += chunk
    return heard


def head(length: int | str, *more: str, path: str = WIDGET_REQUEST_PATH) -> bytes:
    """The head of a POST; a length of "chunked" announces chunks."""
    size = "Transfer-Encoding: chunked" if length == "chunked" else f"Content-Length: {length}"
    lines = [f"POST {path} HTTP/1.1", "Host: bridge", f"Content-Type: {FORM}", size, *more]
    return "\r\n".join([*lines, "", ""]).encode()


def status(heard: bytes) -> int | None:
    """The status of the first answer, None when the connection was closed without one."""
    return int(heard.split(b" ", 2)[1]) if heard else None


def queued(web: Web) -> int:
    with Redis.from_url(web.redis.url) as redis:
        return len(redis.keys("rq:job:*"))


def post_quickly(web: "Web") -> None:
    """Each of some widget requests is acknowledged within a second."""
    for _ in range(10):
        with at_most(1):
            web.post().raise_for_status()


class TestRedis:
    def test_a_widget_request_is_queued_and_acknowledged(self, web: Web) -> None:
        before = queued(web)

        answer = web.post()

        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert queued(web) == before + 1

    def test_a_stopped_redis_means_503_at_once_and_nothing_more_when_it_is_back(
        self, web: Web
    ) -> None:
        assert web.post().ok

        web.redis.kill()
        with at_most(2):
            answer = web.post()
        web.redis.start()

        assert (answer.status_code, answer.json()["error"]) == (503, "queue_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert web.post().ok

    def test_a_frozen_redis_means_503_at_once_and_nothing_more_when_it_is_back(
        self, web: Web
    ) -> None:
        assert web.post().ok

        web.redis.pause()
        try:
            seconds = []
            for _ in range(3):
                started = time.monotonic()
                answer = web.post()
                seconds.append(time.monotonic() - started)
                assert (answer.status_code, answer.json()["error"]) == (503, "queue_unavailable")
        finally:
            web.redis.resume()

        assert max(seconds) < 1.5
        assert web.post().ok

    def test_a_full_redis_means_503_until_there_is_room(self, web: Web) -> None:
        before = queued(web)
        with Redis.from_url(web.redis.url) as redis:
            redis.config_set("maxmemory-policy", "noeviction")
            redis.config_set("maxmemory", 1)
            answer = web.post()
            redis.config_set("maxmemory", 0)

        assert (answer.status_code, answer.json()["error"]) == (503, "queue_unavailable")
        assert queued(web) == before
        assert web.post().ok


class TestBodies:
    def test_chunks_are_read_as_a_body(self, web: Web) -> None:
        _, body = web.salesbot.write(next(continue_ids))

        heard = web.talk(head("chunked", "Connection: close") + in_chunks(body))

        assert status(heard) == 200

    def test_chunks_without_end_are_refused_at_the_limit(self, web: Web) -> None:
        heard = web.talk(head("chunked") + in_chunks(b"x" * (64 * 1024 + 1))[:-5])

        assert status(heard) == 413

    def test_a_body_over_the_limit_is_refused_before_it_is_sent(self, web: Web) -> None:
        heard = web.talk(head(64 * 1024 + 1))

        assert status(heard) == 413

    def test_a_compressed_body_is_refused(self, web: Web) -> None:
        body = gzip.compress(web.salesbot.write(next(continue_ids))[1])

        heard = web.talk(head(len(body), "Content-Encoding: gzip", "Connection: close") + body)

        assert status(heard) == 400
        assert b"invalid_request" in heard

    def test_a_body_shorter_than_announced_is_refused_not_taken_for_whole(self, web: Web) -> None:
        before = queued(web)
        _, body = web.salesbot.write(next(continue_ids))

        with web.connect() as client:
            client.sendall(head(len(body) + 10) + body)
            client.shutdown(socket.SHUT_WR)
            heard = listen(client)

        assert status(heard) == 400
        assert queued(web) == before

    def test_a_sender_that_half_closes_after_its_request_is_answered(self, web: Web) -> None:
        _, body = web.salesbot.write(next(continue_ids))

        with web.connect() as client:
            client.sendall(head(len(body)) + body)
            client.shutdown(socket.SHUT_WR)
            heard = listen(client)

        assert status(heard) == 200

    @pytest.mark.parametrize(
        "said",
        [
            pytest.param(head(-1), id="negative length"),
            pytest.param(head("a lot"), id="length in words"),
            pytest.param(head(5, "Content-Length: 6") + b"hello", id="two lengths"),
            pytest.param(head(5, "Transfer-Encoding: chunked") + b"0\r\n\r\n", id="both ways"),
            pytest.param(head("chunked") + b"zz\r\nhello\r\n", id="wrong chunk size"),
            pytest.param(head("chunked") + b"5\r\nhelloworld", id="wrong chunk end"),
            pytest.param(head(5, "X: " + "x" * 100_000) + b"hello", id="huge header"),
            pytest.param(head(5, *[f"X-{i}: x" for i in range(500)]), id="500 headers"),
            pytest.param(head(5, path="/" + "x" * 20_000), id="long path"),
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
            pytest.param(b"\x00" * 1000 + b"\r\n\r\n", id="NUL bytes"),
            pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="no such HTTP"),
        ],
    )
    def test_what_is_no_request_is_refused_or_hung_up_on(self, web: Web, said: bytes) -> None:
        before = queued(web)

        heard = web.talk(said)

        assert status(heard) in (None, *range(400, 500), 505)
        assert queued(web) == before
        assert web.post().ok

    def test_rubbish_behind_a_request_does_not_harm_the_request(self, web: Web) -> None:
        before = queued(web)
        _, body = web.salesbot.write(next(continue_ids))

        heard = web.talk(head(len(body)) + body + b"rubbish\x00\r\n\r\nPOST")

        assert status(heard) == 200
        assert heard.count(b"HTTP/1.1 200") == 1
        assert queued(web) == before + 1


def in_chunks(body: bytes) -> bytes:
    parts = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class TestSlowClients:
    @pytest.mark.parametrize(
        "said",
        [
            pytest.param(b"", id="silent"),
            pytest.param(head(900)[:-2], id="half a head"),
            pytest.param(head(900) + b"token=", id="half a body"),
            pytest.param(head("chunked") + b"5\r\nhe", id="half a chunk"),
        ],
    )
    def test_a_crowd_that_stops_midway_keeps_nobody_waiting(self, web: Web, said: bytes) -> None:
        with ExitStack() as stack:
            crowd = [stack.enter_context(web.connect()) for _ in range(CROWD)]
            for client in crowd:
                client.sendall(said)
            time.sleep(0.2)

            post_quickly(web)
            with at_most(6):
                heard = [listen(client) for client in crowd]

        assert {status(one) for one in heard} <= {None, 400, 408}

    def test_a_crowd_that_drips_is_cut_off_in_seconds_and_keeps_nobody_waiting(
        self, web: Web
    ) -> None:
        with ExitStack() as stack, ThreadPoolExecutor(CROWD) as pool, Lateness() as late:
            crowd = [stack.enter_context(web.connect()) for _ in range(CROWD)]
            starts = [head(900)[:40], head(900) + b"token="]
            drips = [pool.submit(drip, client, starts[i % 2]) for i, client in enumerate(crowd)]
            time.sleep(0.5)

            post_quickly(web)
            held = [future.result() for future in drips]
            lateness = late.between(0.0, time.monotonic())

        assert max(held) < 6 + lateness

    def test_a_crowd_that_never_hangs_up_keeps_nobody_waiting(self, web: Web) -> None:
        with ExitStack() as stack:
            for _ in range(CROWD):
                client = stack.enter_context(web.connect())
                client.sendall(
                    b"GET /healthz HTTP/1.1\r\nHost: bridge\r\nConnection: close\r\n\r\n"
                )

            post_quickly(web)


def drip(client: socket.socket, start: bytes) -> float:
    """Send a byte every fifth of a second; return after how many seconds the other side ended."""
    started = time.monotonic()
    client.settimeout(0.2)
    with suppress(ConnectionError):
        client.sendall(start)
        while time.monotonic() - started < 20:
            client.sendall(b"x")
            with suppress(TimeoutError):
                if not client.recv(65536):
                    break
    return time.monotonic() - started


class TestStop:
    def test_sigterm_lets_running_requests_finish(
        self, redis_of_web: RedisServer, tmp_path: Path
    ) -> None:
        with ExitStack() as stack:
            web = start_web(redis_of_web, tmp_path, stack)
            _, body = web.salesbot.write(next(continue_ids))
            client = stack.enter_context(web.connect())
            client.sendall(head(len(body)) + body[:100])
            time.sleep(0.3)

            web.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            client.sendall(body[100:])
            heard = listen(client)

            assert status(heard) == 200
            assert web.process.wait(10) == 0

    @pytest.mark.parametrize("log_format", ["text", "json"])
    def test_all_that_a_web_process_prints_from_start_to_stop_is_a_line_of_its_log(
        self, redis_of_web: RedisServer, tmp_path: Path, log_format: str
    ) -> None:
        with ExitStack() as stack:
            web = start_web(redis_of_web, tmp_path, stack, LOG_FORMAT=log_format)
            web.process.send_signal(signal.SIGTERM)
            assert web.process.wait(60) == 0

        lines = (tmp_path / "web.log").read_text().splitlines()
        told = [json.loads(line)["event"] if log_format == "json" else line for line in lines]
        assert "web starts" in told[0]
        assert [line for line in told if "Shutting down" in line]
        assert not [line for line in told if "Traceback" in line or "Logging error" in line]
        if log_format == "text":
            assert [line for line in lines if not LOG_LINE.match(line)] == []

    @pytest.mark.parametrize("processes", ["0", "65"])
    def test_a_wrong_number_of_processes_is_told_in_a_sentence(self, processes: str) -> None:
        done = subprocess.run(
            procfile_command("web"),
            cwd=ROOT,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "SECRET_KEY": SECRET_KEY,
                "WEB_CONCURRENCY": processes,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        assert done.returncode == 4
        sentence = "WEB_CONCURRENCY is wrong: it must be a whole number from 1 to 64."
        assert done.stderr == f"kommo_bridge does not start. {sentence}\n"
