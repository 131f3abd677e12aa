"""`flask token mint`: a token that the bridge itself accepts."""

import secrets
import time
from pathlib import Path

import jwt
import pytest
from flask import Flask

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.tokens import BotClaims, verify_bot_token
from kommo_bridge.settings import Settings

ACME = Integration("0b01c2d3-0000", "acme", secret_key="a1" * 32, previous_secret_key="b2" * 32)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(secret_key=secrets.token_hex(32), database_path=tmp_path / "bridge.db")


@pytest.fixture
def app(settings: Settings) -> Flask:
    return create_app(settings)


@pytest.fixture
def store(app: Flask, settings: Settings) -> IntegrationStore:
    return IntegrationStore(settings.database_path, settings.secret_key)


@pytest.mark.parametrize("account_id", [None, 5])
def test_a_minted_token_is_accepted(
    app: Flask, store: IntegrationStore, account_id: int | None
) -> None:
    store.add(ACME)
    if account_id:
        store.bind_account(ACME, account_id)

    def secrets_for(claims: BotClaims) -> tuple[str, ...]:
        found = store.find(claims.client_uuid, claims.account_id, claims.subdomain)
        return found.secrets if found else ()

    result = app.test_cli_runner().invoke(args=["token", "mint", "acme", "--entity-id", "77"])
    token = result.output.removesuffix("\n")
    claims = verify_bot_token(token, secrets_for)

    assert jwt.get_unverified_header(token)["alg"] == "HS512"
    assert (claims.subdomain, claims.account_id, claims.entity_id) == ("acme", account_id or 0, 77)
    assert claims.expires_at == pytest.approx(time.time() + 1800, abs=60)


def test_an_unknown_name_is_told(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["token", "mint", "other"])

    assert result.exit_code == 1
    assert result.output.startswith("Error: There is no integration 'other'")


def test_mint_explains_itself(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["token", "mint", "--help"])

    assert "signed as Kommo signs" in result.output
