"""A signed test token, to speak to the bridge as Kommo does."""

import time

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.tokens import sign_bot_token


def mint_token(integration: Integration, entity_id: int, seconds: float) -> str:
    """Sign what Kommo would sign for this integration."""
    now = time.time()
    claims = {
        "iss": f"https://{integration.host}",
        "aud": "http://localhost",
        "iat": now,
        "nbf": now,
        "exp": now + seconds,
        "account_id": integration.account_id or 0,
        "subdomain": integration.subdomain,
        "client_uuid": integration.integration_id,
        "bot_type": "salesbot",
        "entity_type": "2",
        "entity_id": entity_id,
    }
    return sign_bot_token(claims, integration.secret_key)
