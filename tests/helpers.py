"""What tests share and import by name; what pytest hands them stands in `conftest`."""

import json
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from kommo_bridge.answers.record import OPEN_KEY, RECORD_PREFIX
from kommo_bridge.answers.retries import TAKE_OVER_AFTER
from kommo_bridge.app import BridgeApp
from kommo_bridge.conversations.keys import conversation_name, person_digest, turn_key
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.redis_client import PREFIX
from local.lateness import Lateness
from local.partners.kommo.account import Account, sign_bot_token
from local.partners.kommo.widget_requests import Encoding, encode_widget_request
from local.processes import ROOT

SECRET_KEY = secrets.token_hex(32)
INTEGRATION_ID = "0b01c2d3-0000-4000-8000-00000000456c"


# For a test, class or module: with SQLite and with PostgreSQL.
both_stores = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
Ask = Callable[..., WidgetRequest]


def wait_for(condition: Callable[[], object], seconds: float = 90) -> None:
    """Wait until the condition holds, for so long that only a broken one runs out of time."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, f"it did not happen within {seconds:.0f} s"
        time.sleep(0.02)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """The block ends within so many seconds, aside from how late this machine is meanwhile."""
    with Lateness() as late:
        started = time.monotonic()
        yield
        ended = time.monotonic()
    allowed = seconds + late.between(started, ended)
    assert ended - started < allowed, f"{ended - started:.2f} s, not {allowed:.2f} s"


def lock_of(request: WidgetRequest) -> str:
    """The key of the right to work on a request's conversation."""
    key = turn_key(conversation_name(request))
    return f"{key}:{person_digest(request.person)}" if request.person else key


def be_silent(redis: Redis, request: WidgetRequest, seconds: float = TAKE_OVER_AFTER) -> None:
    """Whoever works on the conversation has not renewed its hold for so long."""
    value = redis.get(lock_of(request))
    assert isinstance(value, bytes)
    holder, _, renewed_at = value.decode().rpartition("|")
    redis.set(lock_of(request), f"{holder}|{int(renewed_at) - int(seconds)}", keepttl=True)


def let_pass(redis: Redis, seconds: float) -> None:
    """Make all that Redis keeps of open requests older, as if so many seconds had passed.

    What Kommo's pace and locks wait for is left as it is.
    """
    for key in redis.scan_iter(f"{PREFIX}conversation:*:texts"):
        _change_each(redis, key, lambda text: _older(text, seconds))
    for key in redis.scan_iter(f"{PREFIX}conversation:*:open"):
        _change_each(redis, key, lambda turns: _earlier(turns, seconds))
    for key in redis.scan_iter(f"{RECORD_PREFIX}*"):
        for name in ("uncertain", "next_at", "called_at"):
            if redis.hexists(key, name):
                redis.hincrbyfloat(key, name, -seconds)
    found: list[Any] = redis.zrange(OPEN_KEY, 0, -1)
    for job_id in found:
        redis.zincrby(OPEN_KEY, -seconds, job_id)


def _change_each(redis: Redis, key: Any, change: Callable[[str], str]) -> None:
    kept: dict[Any, Any] = redis.hgetall(key)
    for name, value in kept.items():
        redis.hset(key, name, change(value.decode()))


def _older(text: str, seconds: float) -> str:
    """A text whose number, the time of its arrival, is so much smaller."""
    number, _, rest = text.partition("|")
    return f"{int(number) - round(seconds * 1_000_000)}|{rest}"


def _earlier(turns: str, seconds: float) -> str:
    """The turns under way with their times so much earlier."""
    kept = json.loads(turns)
    for turn in kept:
        for name in ("retry_at", "failed_at"):
            turn[name] = turn[name] and turn[name] - seconds
    return json.dumps(kept)


@dataclass(frozen=True)
class Salesbot:
    """Writes the widget requests of one account, without sending them."""

    account: Account

    def return_url(self, continue_id: int) -> str:
        """Where the block of this number waits."""
        return f"{self.account.base_url}/api/v4/salesbot/321/continue/{continue_id}"

    def token(self, **options: Any) -> str:
        """A bot token; the options are those of `sign_bot_token`."""
        return sign_bot_token(self.account, entity_id=67890, **options)

    def write(
        self,
        continue_id: int = 1,
        *,
        message: str = "Hello, can you help me?",
        encoding: Encoding = "form",
        token: str | None = None,
        return_url: str | None = None,
        **data: Any,
    ) -> tuple[str, bytes]:
        """Content type and body of one widget request."""
        return encode_widget_request(
            encoding,
            token=self.token() if token is None else token,
            data={"message": message, "delivery": "json", **data},
            return_url=self.return_url(continue_id) if return_url is None else return_url,
        )


@dataclass(frozen=True)
class Web:
    """The application, and where it answers."""

    url: str
    port: int
    app: BridgeApp


@dataclass(frozen=True)
class Bridge:
    """The running processes, as a test sees them."""

    url: str
    environ: dict[str, str]
    log_path: Path

    def flask(self, *arguments: str) -> str:
        """What a flask command prints."""
        done = self.run_flask(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run_flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a flask command in the environment of the bridge."""
        command = [str(Path(sys.executable).parent / "flask"), *arguments]
        return subprocess.run(
            command, env=self.environ, cwd=ROOT, capture_output=True, text=True, check=False
        )


@contextmanager
def store_in_trouble(path: Path, trouble: str) -> Iterator[None]:
    """A database that cannot be written meanwhile: "read-only" for new connections, or "locked"."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        if trouble == "locked":
            connection.execute("begin immediate")
            yield
            return
    # https://www.sqlite.org/fileformat.html: a write version above 2. Modes do not stop root.
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x03")
    yield
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x02")
