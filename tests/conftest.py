"""Real parts for the tests: a Redis server, a SQLite file, strict partners on loopback."""

import os
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
from hypothesis import settings as hypothesis_settings
from redis import Redis

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import Parts, build_parts
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI
from local.partners.kommo.account import Account, sign_bot_token
from local.partners.kommo.server import StandInKommo
from local.partners.kommo.widget_requests import Encoding, encode_widget_request
from local.processes import ROOT, process_environ, run_bridge
from local.redis_server import RedisServer

# The normal run tries the same examples each time; `make fuzz` sets FUZZ_EXAMPLES, which tries as
# many new ones: pytest -m hypothesis.
FUZZ_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
hypothesis_settings.register_profile(
    "bridge",
    max_examples=FUZZ_EXAMPLES or 100,
    derandomize=not FUZZ_EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
)
hypothesis_settings.load_profile("bridge")

SECRET_KEY = secrets.token_hex(32)
INTEGRATION_ID = "0b01c2d3-0000-4000-8000-00000000456c"


Ask = Callable[..., WidgetRequest]


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until it is so."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "it did not come to that"
        time.sleep(0.05)


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


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real redis-server for the tests that do not stop it."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    """A client of it, on empty data."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def kommo() -> Iterator[StandInKommo]:
    with StandInKommo() as server:
        yield server


@pytest.fixture
def ai() -> Iterator[StandInAI]:
    with StandInAI(api_key="sk-stand-in") as server:
        yield server


@pytest.fixture
def account(kommo: StandInKommo) -> Account:
    """The account acme in the stand-in."""
    return kommo.add_account(
        "acme", 12345678, INTEGRATION_ID, secrets.token_hex(32), secrets.token_hex(32)
    )


@pytest.fixture
def salesbot(account: Account) -> Salesbot:
    """A Salesbot of acme."""
    return Salesbot(account)


@pytest.fixture
def settings(
    tmp_path: Path, redis_server: RedisServer, redis: Redis, ai: StandInAI, kommo: StandInKommo
) -> Settings:
    """Settings that lead to the real Redis and the stand-ins."""
    return Settings(
        secret_key=SECRET_KEY,
        redis_url=redis_server.url,
        database_path=tmp_path / "bridge.db",
        openai_api_key="sk-stand-in",
        openai_base_url=ai.base_url,
        openai_model="stand-in",
        kommo_extra_hosts=frozenset({kommo.host}),
    )


@pytest.fixture
def ask(kommo: StandInKommo, account: Account) -> Ask:
    """A widget request of a Salesbot that waits in the stand-in."""

    def make(message: str = "Do you deliver?", **fields: Any) -> WidgetRequest:
        block = kommo.open_block(account, delivery=fields.get("delivery", "json"))
        values: dict[str, Any] = {
            "integration_id": account.integration_id,
            "account_id": account.account_id,
            "subdomain": account.subdomain,
            "entity_type": "2",
            "entity_id": 7,
            "return_url": kommo.url + block.path,
            "message": message,
            "delivery": "json",
            "contact_name": "Ana",
            "origin": "waba",
            "chat_id": "",
            "widget_version": "",
            "expires_at": time.time() + 600,
            "accepted_at": time.time(),
        }
        return WidgetRequest(**{**values, **fields})

    return make


@pytest.fixture
def store(settings: Settings) -> IntegrationStore:
    """An empty integration store."""
    store = IntegrationStore(settings.database_path, settings.secret_key)
    store.migrate()
    return store


@pytest.fixture
def acme(store: IntegrationStore, account: Account) -> Integration:
    """The account acme as an integration of ours."""
    integration = Integration(
        integration_id=account.integration_id,
        subdomain=account.subdomain,
        account_id=account.account_id,
        secret_key=account.secret_key,
        access_token=account.access_token,
        burst_seconds=0,  # only the tests of bursts wait for more of a customer's messages
    )
    store.add(integration)
    return integration


@pytest.fixture
def parts(settings: Settings, acme: Integration) -> Iterator[Parts]:
    """The real parts of a job."""
    built = build_parts(settings)
    yield built
    built.close()


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


@pytest.fixture
def bridge(settings: Settings, acme: Integration, tmp_path: Path) -> Iterator[Bridge]:
    environ = process_environ(settings) | {"LOG_LEVEL": "DEBUG"}
    with run_bridge(environ, tmp_path / "bridge.log"):
        yield Bridge(f"http://127.0.0.1:{environ['PORT']}", environ, tmp_path / "bridge.log")
