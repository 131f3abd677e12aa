"""The businesses of `make demo`, in a stand-in Kommo and in the bridge's store."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.knowledge.knowledge import Knowledge
from local.partners.ai import StandInAI
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo

PRICES = b"""what,price
Bouquet of 21 roses,45 euro
Bouquet of 51 roses,99 euro
Delivery in the city,6 euro
"""


def demo_accounts(
    environ: dict[str, str], kommo: StandInKommo, down: StandInAI, instructions: str
) -> tuple[Account, Account, Account, Account]:
    """Four businesses: one whose AI answers, one whose AI is down, one that is closed now, and one
    whose first AI is down while a second one answers."""
    store = IntegrationStore(Path(environ["DATABASE_PATH"]), environ["SECRET_KEY"])
    store.migrate()
    flora = _account(kommo, "flora", 12345678)
    shop = as_integration(flora, instructions=instructions)
    store.add(shop)
    Knowledge(store.database).add_file(shop, "prices.csv", PRICES)
    unlucky = _account(kommo, "unlucky", 87654321)
    store.add(as_integration(unlucky, ai_api_key="sk-down", ai_base_url=down.base_url))
    night = _account(kommo, "night", 11223344)
    opens_on = (datetime.now(UTC) + timedelta(days=2)).strftime("%a")[:2].lower()
    store.add(as_integration(night, instructions=instructions, open_hours=f"{opens_on} 9-20"))
    steady = _account(kommo, "steady", 55667788)
    second = {
        "fallback_ai_api_key": environ["OPENAI_API_KEY"],
        "fallback_ai_base_url": environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1",
    }
    first = {"ai_api_key": "sk-down", "ai_base_url": down.base_url}
    store.add(as_integration(steady, instructions=instructions, **first, **second))
    return flora, unlucky, night, steady


def _account(kommo: StandInKommo, subdomain: str, account_id: int) -> Account:
    integration_id = f"0b01c2d3-0000-4000-8000-{account_id:012d}"
    keys = secrets.token_hex(32), secrets.token_hex(32)
    return kommo.add_account(subdomain, account_id, integration_id, *keys)


def as_integration(account: Account, **settings: str) -> Integration:
    """The account as an integration of ours."""
    return Integration(
        integration_id=account.integration_id,
        subdomain=account.subdomain,
        secret_key=account.secret_key,
        access_token=account.access_token,
        **settings,  # type: ignore[arg-type]
    )
