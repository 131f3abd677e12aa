"""Real parts for the tests: a Redis server, a SQLite file, strict partners on loopback."""

import os
import secrets
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import INTEGRATION_ID, SECRET_KEY, Ask, Bridge, Salesbot, Web
from hypothesis import settings as hypothesis_settings
from redis import Redis
from werkzeug.serving import make_server

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import Parts, build_parts
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI
from local.partners.ai_told import told_reply
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.postgres_server import PostgresServer
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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the property tests out of the coverage: traced, their many examples take the time."""
    for item in items:
        if item.get_closest_marker("hypothesis"):
            item.add_marker("no_cover")


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


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One real PostgreSQL for the tests that do not stop it; the first one starts it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _pools_are_closed() -> Iterator[None]:
    """Whatever a test has opened: a pool must not be left to the garbage collector."""
    yield
    if opened := sys.modules.get("kommo_bridge.integrations.postgres_connection"):
        opened.close_pools()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where an empty store may be: both databases in turn."""
    if request.param == "sqlite":
        return tmp_path / "folder" / "bridge.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_schema()


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
def silent_port() -> Iterator[int]:
    """A port that is held and never answers, so that no test asks a bridge that runs beside it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str | None:
    """None, which is SQLite; a test marked `both_stores` runs with PostgreSQL too."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_schema()


@pytest.fixture
def settings(
    tmp_path: Path,
    database_url: str | None,
    redis_server: RedisServer,
    redis: Redis,
    ai: StandInAI,
    kommo: StandInKommo,
    silent_port: int,
) -> Settings:
    """Settings that lead to the real Redis and the stand-ins."""
    return Settings(
        secret_key=SECRET_KEY,
        redis_url=redis_server.url,
        database_path=tmp_path / "bridge.db",
        database_url=database_url,
        port=silent_port,
        openai_api_key="sk-stand-in",
        openai_base_url=ai.base_url,
        openai_model="stand-in",
        kommo_extra_hosts=frozenset({kommo.host}),
    )


@pytest.fixture
def queue(redis: Redis, settings: Settings) -> JobQueue:
    """The queue, as the web edge fills it."""
    return JobQueue(redis, settings)


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
            "expires_at": time.time() + 600,
            "accepted_at": time.time(),
        }
        return WidgetRequest(**{**values, **fields})

    return make


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database as the migrations make it: to be copied, since they take a while."""
    folder = tmp_path_factory.mktemp("migrated")
    store = IntegrationStore(folder / "bridge.db", SECRET_KEY)
    store.migrate()
    store.backup(folder / "whole.db")
    return folder / "whole.db"


@pytest.fixture
def store(settings: Settings, migrated: Path) -> Iterator[IntegrationStore]:
    """An empty integration store."""
    store = IntegrationStore(settings.store_place, settings.secret_key)
    if settings.database_url:
        store.migrate()
    else:
        shutil.copy(migrated, settings.database_path)
    yield store
    store.close()


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
        disclosure="",
    )
    store.add(integration)
    return integration


@pytest.fixture
def parts(settings: Settings, acme: Integration) -> Iterator[Parts]:
    """The real parts of a job."""
    built = build_parts(settings)
    yield built
    built.close()


@pytest.fixture
def web(settings: Settings, acme: Integration) -> Iterator[Web]:
    """The application behind a port, in this process: where neither gunicorn nor worker matter."""
    app = create_app(settings)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    yield Web(f"http://127.0.0.1:{server.server_port}", server.server_port, app)
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture
def bridge(settings: Settings, acme: Integration, tmp_path: Path) -> Iterator[Bridge]:
    environ = process_environ(settings) | {"LOG_LEVEL": "DEBUG"}
    with run_bridge(environ, tmp_path / "bridge.log"):
        yield Bridge(f"http://127.0.0.1:{environ['PORT']}", environ, tmp_path / "bridge.log")


@pytest.fixture
def told_ai() -> Iterator[StandInAI]:
    """An AI that knows what it was told."""
    with StandInAI(told_reply, api_key="sk-stand-in") as server:
        yield server


@pytest.fixture
def offline(told_ai: StandInAI, tmp_path: Path) -> Settings:
    """Settings that lead to that AI, and to no Redis."""
    return Settings(
        secret_key=SECRET_KEY,
        redis_url="redis://127.0.0.1:9/0",
        database_path=tmp_path / "bridge.db",
        openai_api_key="sk-stand-in",
        openai_base_url=told_ai.base_url,
        openai_model="stand-in",
    )


@pytest.fixture
def shop() -> Integration:
    """Flora, the flower shop of docs/scenarios, not live yet."""
    instructions = (ROOT / "docs" / "scenarios" / "flower-shop.txt").read_text(encoding="utf-8")
    return Integration(
        integration_id="0b01c2d3-0000-4000-8000-00000000f10a",
        subdomain="flora",
        secret_key=SECRET_KEY,
        access_token="token",
        instructions=instructions,
        enabled=False,
        mode="hint",
    )
