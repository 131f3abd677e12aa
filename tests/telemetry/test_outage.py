"""An outage in the log: at the loss, each minute, and at the return."""

import logging

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from kommo_bridge.telemetry.outage import Outage

logger = logging.getLogger("kommo_bridge.test_outage")


def test_an_outage_is_logged_at_the_loss_each_minute_and_at_the_return(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = Outage(logger, "redis", address="127.0.0.1:6379/0")

    outage.back(now=999)
    for second in range(150):  # two and a half minutes of calls
        outage.lost(RedisConnectionError(), now=1000 + second)
    outage.back(now=1150)
    outage.back(now=1151)

    assert [(one.getMessage(), vars(one)["fields"].get("seconds")) for one in caplog.records] == [
        ("redis is away", None),
        ("redis is away", 60),
        ("redis is away", 120),
        ("redis is back", 150),
    ]
    assert all(vars(one)["fields"]["address"] == "127.0.0.1:6379/0" for one in caplog.records)


def test_the_next_outage_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(logger, "redis")

    for _ in range(2):
        outage.lost(RedisConnectionError())
        outage.back()

    assert [one.getMessage() for one in caplog.records] == ["redis is away", "redis is back"] * 2
