"""What an agency with thirty accounts types: check --all, list, requeue, usage, export."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from helpers import Ask, both_stores
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.conversations.keys import period_key
from kommo_bridge.errors import KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.queue.state import work_queue
from kommo_bridge.settings import Settings
from local.partners.http.faults import Status
from local.partners.kommo.server import StandInKommo

pytestmark = both_stores


def run(settings: Settings, *arguments: str) -> Result:
    return create_app(settings).test_cli_runner().invoke(args=list(arguments))


def test_check_all_is_one_line_each_and_status_1_on_a_fault(
    settings: Settings, acme: Integration, store: IntegrationStore
) -> None:
    store.add(replace(acme, subdomain="beta", account_id=5, access_token="revoked"))
    store.add(replace(acme, subdomain="off", account_id=6, enabled=False))

    done = run(settings, "integrations", "check", "--all")

    lines = done.output.splitlines()
    assert done.exit_code == 1
    assert [line.split()[1] for line in lines] == ["acme", "beta"]
    assert "Kommo refuses it (401)" in lines[1]
    assert "Kommo refuses it" not in lines[0]
    assert run(settings, "integrations", "check").exit_code == 2


def test_the_list_shows_how_each_is(
    settings: Settings, acme: Integration, parts: Parts, ask: Ask
) -> None:
    answer(ask(), parts)

    header, row = run(settings, "integrations", "list").output.splitlines()
    without_redis = run(
        replace(settings, redis_url="redis://127.0.0.1:9/0"), "integrations", "list"
    )

    assert header.endswith("LAST ANSWER       FAILING SINCE  TOKEN DAYS")
    assert ":" in row.split()[-3]
    assert without_redis.exit_code == 0
    assert acme.subdomain in without_redis.output


def test_what_a_mended_token_left_behind_is_sent_by_one_command(
    settings: Settings,
    acme: Integration,
    parts: Parts,
    ask: Ask,
    kommo: StandInKommo,
    redis: Redis,
    queue: JobQueue,
) -> None:
    request = ask()
    kommo.faults.order(Status(401), times=1)
    queue.enqueue(request)
    with pytest.raises(KommoError):
        answer(request, parts)
    [job] = work_queue(redis).jobs
    work_queue(redis).remove(job)
    work_queue(redis).failed_job_registry.add(job, 600)

    other = run(settings, "integrations", "requeue", "acme")
    again = run(settings, "integrations", "requeue", "acme")
    assert answer(request, parts) is None

    assert "Queued again: 1 answer of acme.kommo.com." in other.output
    assert "Queued again: 0 answers" in again.output
    assert len(kommo.continuations) == 1
    assert acme.enabled


def test_a_former_months_usage_for_machines_and_people(
    settings: Settings, acme: Integration, redis: Redis
) -> None:
    redis.hset(period_key(acme, "2025-10"), mapping={"replies": 7, "tokens": 900})

    as_json = run(settings, "usage", "--month", "2025-10", "--json")
    table = run(settings, "usage", "acme", "--month", "2025-10")

    [row] = json.loads(as_json.stdout)
    assert (row["subdomain"], row["month"], row["replies"], row["tokens"]) == (
        "acme",
        "2025-10",
        7,
        900,
    )
    assert table.stdout.splitlines()[1].split() == ["acme.kommo.com", "7", "900"]


def test_exported_secrets_are_readable_by_their_owner_alone(
    settings: Settings, acme: Integration, tmp_path: Path
) -> None:
    file = tmp_path / "all.json"
    before = os.umask(0)
    try:
        done = run(settings, "integrations", "export", "--with-secrets", "--output", str(file))
    finally:
        os.umask(before)

    assert done.exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())[0]["secret_key"] == acme.secret_key
    assert "exists already" in run(settings, "integrations", "export", "--output", str(file)).output
