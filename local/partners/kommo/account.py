"""An account of the stand-in Kommo, and the bot tokens that its Salesbots carry."""

import time
from dataclasses import dataclass, field
from typing import Any

import jwt


@dataclass(frozen=True)
class Account:
    """An account with one private integration. Its `repr` shows no secret.

    Attributes:
        account_id: Kommo's number of the account.
        integration_id: The integration's UUID, `client_uuid` in tokens.
        secret_key: The integration's secret, which signs the bot tokens: 64 characters.
        access_token: The only bearer that the account's API accepts.
        domain: `kommo.com`, `amocrm.com` or `amocrm.ru`.
    """

    subdomain: str
    account_id: int
    integration_id: str
    secret_key: str = field(repr=False)
    access_token: str = field(repr=False)
    domain: str = "kommo.com"

    @property
    def base_url(self) -> str:
        """The account's own address, the issuer of its tokens."""
        return f"https://{self.subdomain}.{self.domain}"


def sign_bot_token(
    account: Account,
    *,
    entity_id: int,
    entity_type: str = "2",
    bot_type: str = "salesbot",
    audience: str = "https://bridge.example.com",
    lifetime_seconds: float = 300.0,
    algorithm: str = "HS512",
    secret_key: str | None = None,
    **claims: Any,
) -> str:
    """Sign a bot token as a Salesbot does.

    The claims are those of `BotDisposableTokenModel` in
    https://github.com/amocrm/amocrm-api-php and of live captures: no `jti`, no `integration_id`,
    an `entity_type` that is a string, times with fractions of a second. The lifetime is our guess.

    Args:
        account: Who signs.
        entity_id: The number of the lead, contact or customer.
        entity_type: "1" contact, "2" lead, "12" customer.
        bot_type: "salesbot" or "marketingbot".
        audience: Scheme and host of the receiver.
        lifetime_seconds: May be negative for an expired token.
        algorithm: "HS512" as the Salesbot; "HS256", or "none" for an unsigned one.
        secret_key: Another key than the account's, to forge.
        claims: More claims, or others; None leaves a claim out.
    """
    now = time.time()
    usual = {
        "iss": account.base_url,
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + lifetime_seconds,
        "account_id": account.account_id,
        "subdomain": account.subdomain,
        "client_uuid": account.integration_id,
        "bot_type": bot_type,
        "entity_type": entity_type,
        "entity_id": entity_id,
    }
    whole = {name: value for name, value in (usual | claims).items() if value is not None}
    key = "" if algorithm == "none" else secret_key or account.secret_key
    return jwt.encode(whole, key, algorithm=algorithm)
