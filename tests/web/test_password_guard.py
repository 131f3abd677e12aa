"""Guessing a password becomes slow, for the address that guesses."""

import secrets
from base64 import b64encode
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.settings import Settings
from kommo_bridge.web.password_guard import (
    FREE_TRIES,
    LONGEST_WAIT_SECONDS,
    MAX_CLIENTS,
    PasswordGuard,
)

PASSWORD = "p" + secrets.token_hex(8)
NOW = 1_000_000.0


def guess(guard: PasswordGuard, client: str, now: float, *, right: bool = False) -> float:
    return guard.wait_seconds(client, is_right=right, now=now)


class TestGuard:
    def test_the_first_tries_are_free_then_each_doubles_the_wait_up_to_a_minute(self) -> None:
        guard, now, waits = PasswordGuard(), NOW, []
        for _ in range(FREE_TRIES - 1):
            assert guess(guard, "203.0.113.9", now) == 0

        for _ in range(9):
            assert guess(guard, "203.0.113.9", now) == 0
            waits.append(guess(guard, "203.0.113.9", now))
            now += waits[-1]

        assert waits == [1, 2, 4, 8, 16, 32, *[LONGEST_WAIT_SECONDS] * 3]

    def test_even_the_right_password_has_to_wait_and_then_clears_the_count(self) -> None:
        guard = PasswordGuard()
        for _ in range(FREE_TRIES):
            guess(guard, "203.0.113.9", NOW)

        assert guess(guard, "203.0.113.9", NOW, right=True) == 1
        assert guess(guard, "203.0.113.9", NOW + 1, right=True) == 0
        assert [guess(guard, "203.0.113.9", NOW + 1) for _ in range(FREE_TRIES)] == [0] * FREE_TRIES

    def test_other_addresses_are_not_concerned(self) -> None:
        guard = PasswordGuard()
        for _ in range(FREE_TRIES):
            guess(guard, "203.0.113.9", NOW)

        assert guess(guard, "198.51.100.7", NOW, right=True) == 0
        assert guess(guard, "198.51.100.7", NOW) == 0

    def test_it_forgets_after_an_hour_and_keeps_a_bounded_number(self) -> None:
        guard = PasswordGuard()
        for _ in range(FREE_TRIES):
            guess(guard, "203.0.113.9", NOW)
        assert [guess(guard, "203.0.113.9", NOW + 4000) for _ in range(2)] == [0, 0]

        for number in range(2 * MAX_CLIENTS):
            guess(guard, f"client {number}", NOW)

        assert len(guard._clients) == MAX_CLIENTS


@pytest.fixture
def client(settings: Settings, acme: Integration) -> FlaskClient:
    changed = replace(settings, dashboard_password=PASSWORD, metrics_token=PASSWORD)
    return create_app(changed).test_client()


def headers(page: str, password: str, address: str) -> dict[str, str]:
    basic = b64encode(f"admin:{password}".encode()).decode()
    given = f"Bearer {password}" if page == "/metrics" else f"Basic {basic}"
    return {"Authorization": given, "X-Forwarded-For": f"10.9.9.9, {address}"}


@pytest.mark.parametrize("page", ["/rq/", "/metrics"])
class TestPages:
    def test_guessing_is_slowed_down_for_this_address_alone(
        self, client: FlaskClient, page: str
    ) -> None:
        wrong = headers(page, "wrong", "203.0.113.9")
        tried = [client.get(page, headers=wrong).status_code for _ in range(FREE_TRIES + 2)]
        refused = client.get(page, headers=headers(page, PASSWORD, "203.0.113.9"))

        assert tried == [401] * FREE_TRIES + [429, 429]
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert refused.get_json()["error"] == "too_many_tries"
        assert client.get(page, headers=headers(page, PASSWORD, "198.51.100.7")).status_code == 200

    def test_a_browser_that_has_not_asked_for_the_password_yet_does_not_guess(
        self, client: FlaskClient, page: str
    ) -> None:
        assert {client.get(page).status_code for _ in range(3 * FREE_TRIES)} == {401}

        assert client.get(page, headers=headers(page, PASSWORD, "127.0.0.1")).status_code == 200

    def test_a_forged_forwarding_header_does_not_help_without_a_proxy(
        self, client: FlaskClient, page: str
    ) -> None:
        public = {"REMOTE_ADDR": "8.8.8.8"}  # documentation addresses count as private
        tried = [
            client.get(
                page,
                headers=headers(page, "wrong", f"198.51.100.{number}"),
                environ_overrides=public,
            ).status_code
            for number in range(FREE_TRIES + 1)
        ]

        assert tried[-1] == 429
