"""The whole way, with the Procfile's processes: from a widget request to a continued Salesbot."""

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
from helpers import Bridge, both_stores, wait_for
from redis import Redis

from kommo_bridge.integrations.database import open_database
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.tables import KEYS
from kommo_bridge.queue.state import last_widget_version
from kommo_bridge.widget.build import SHARED_WIDGET, source_version
from local.partners.ai import StandInAI
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.partners.salesbot.salesbot import run_salesbot
from local.partners.salesbot.widget_script import widget_flow
from local.processes import ROOT

MESSAGE = "Do you deliver to the lighthouse on Sundays?"


@both_stores
def test_a_customer_is_answered_through_gunicorn_redis_and_worker(
    bridge: Bridge,
    kommo: StandInKommo,
    account: Account,
    acme: Integration,
    ai: StandInAI,
    redis: Redis,
) -> None:
    """The widget's own flow asks and prints: what stands here is what the customer reads."""
    run = run_salesbot(kommo, account, widget_flow(bridge.url), message=MESSAGE)

    assert (run.acknowledged_status, run.exit, len(run.bubbles)) == (200, "success", 1)
    assert MESSAGE in run.bubbles[0]
    assert last_widget_version(redis, acme) == source_version(SHARED_WIDGET)
    assert ai.answered == 1
    assert not kommo.violations


@both_stores
def test_no_secret_and_no_word_of_the_customer_stands_in_any_log_or_key(
    bridge: Bridge, kommo: StandInKommo, account: Account, ai: StandInAI, redis: Redis
) -> None:
    """Planted secrets are looked for in the log of both processes, in Redis and in the store."""
    sent = kommo.send_widget_request(bridge.url, account, MESSAGE, entity_id=7)
    kommo.wait_for(sent, 60)
    requests.post(
        f"{bridge.url}/api/kommo/kommo/widget-request",
        data={"token": sent.token, "data[message]": MESSAGE, "return_url": "https://evil.example/"},
        timeout=30,
    )

    def words() -> int:
        return b"".join(_everything_in(redis)).count(MESSAGE.encode())

    # Once it has ended: in the job's arguments, and in the memory as question and in the reply,
    # which repeats them; nowhere else.
    wait_for(lambda: words() == 3)

    log = bridge.log_path.read_bytes()
    stored = _stored(bridge)
    in_redis = b"".join(_everything_in(redis))

    for secret in (account.secret_key, account.access_token, sent.token, "sk-stand-in"):
        assert secret.encode() not in log + stored + in_redis
    assert MESSAGE.encode() not in log + stored
    assert bridge.environ["SECRET_KEY"].encode() not in log + stored + in_redis
    assert b"invalid_return_url" in log


def test_the_curl_call_of_the_readme_works_as_printed(bridge: Bridge) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    curl = re.search(r"curl -X POST http://localhost:8000(/\S+).*?-d '(.*?)'\n", readme, re.DOTALL)
    assert curl
    bridge.flask(
        "integrations", "add", "--subdomain", "test",
        "--integration-id", "0b01c2d3-0000-4000-8000-000000000000",
        "--secret-key", "s" * 64, "--access-token", "none-yet",
    )  # fmt: skip
    token = bridge.flask("token", "mint", "test")

    body = curl[2].replace("'$(flask token mint test)'", token)
    good = _post_json(bridge.url + curl[1], body)
    bad = _post_json(bridge.url + curl[1], body.replace(token, "test_jwt_token"))

    assert (good.status_code, good.json()) == (200, {"status": "ok"})
    assert good.elapsed.total_seconds() < 2
    assert (bad.status_code, bad.json()["error"]) == (401, "invalid_token")


def _post_json(url: str, body: str) -> requests.Response:
    headers = {"Content-Type": "application/json"}
    return requests.post(url, data=body, headers=headers, timeout=30)


def _stored(bridge: Bridge) -> bytes:
    """Everything in the store: the bytes of the files, or all rows."""
    if url := bridge.environ["DATABASE_URL"]:
        database = open_database(url, 5)
        rows = [database.read(f"select * from {table}") for table in KEYS]
        database.close()
        assert b"acme" in repr(rows).encode()
        return repr(rows).encode()
    path = Path(bridge.environ["DATABASE_PATH"])
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))


def _everything_in(redis: Redis) -> Iterator[bytes]:
    """Keys and values, read by kind: a dump may be compressed, and so may be a job's arguments."""
    readers: dict[Any, Callable[[Any], Any]] = {
        b"string": redis.get,
        b"hash": lambda key: [*redis.hkeys(key), *map(_unpacked, redis.hvals(key))],
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"stream": redis.xrange,
    }
    for key in redis.scan_iter():
        yield key
        kind = redis.type(key)
        if kind != b"none":  # it has just expired
            yield _flat(readers[kind](key))


def _flat(value: Any) -> bytes:
    """All bytes within, one after the other."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set):
        return b"\n".join(map(_flat, value))
    return value or b""


def _unpacked(value: Any) -> Any:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value
