"""Who speaks: the bot token of a widget request, verified, as BotClaims.

Rules: https://developers.kommo.com/docs/private-chatbot-integration (the token's fields) and the
vendor's SDK, amocrm/amocrm-api-php `parseBotDisposableToken` (HS512 with the integration's secret
key as plain text). Nothing that an unverified token says ever leaves this module, except to the
`secrets_for` that chooses the key.
"""

import json
import re
import warnings
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jwt

from kommo_bridge.errors import InvalidToken

# A short secret is told where it is stored (integrations/shapes.py), and not once more in
# a library's words.
warnings.filterwarnings("ignore", category=jwt.InsecureKeyLengthWarning)

ALGORITHMS = ("HS512", "HS256")
# `aud` is the receiver's own host and breaks behind changed hosts; `iat` says nothing that `nbf`
# and `exp` do not; `jti` is absent in every token seen.
OPTIONS: jwt.types.Options = {
    "require": ["exp"],
    "verify_aud": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
LEEWAY_SECONDS = 60
DAY_SECONDS = 86400
MAX_TOKEN_CHARACTERS = 8192
MAX_ID = 2**63 - 1
NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")


@dataclass(frozen=True)
class BotClaims:
    """The verified content of a bot token; names are Kommo's own.

    Attributes:
        client_uuid: The integration id.
        account_id: The account's number; 0 in test tokens of an account not known yet.
        subdomain: The first label of the account's host, in lower case.
        entity_type: "1" contact, "2" lead, "12" customer.
        entity_id: The number of that entity.
        expires_at: Seconds since the epoch.
    """

    client_uuid: str
    account_id: int
    subdomain: str
    entity_type: str
    entity_id: int
    expires_at: float


SecretsFor = Callable[[BotClaims], Iterable[str]]


def verify_bot_token(token: object, secrets_for: SecretsFor) -> BotClaims:
    """Verify a bot token and return its claims.

    Args:
        token: What stood in the body's `token`; anything but a JWT is refused.
        secrets_for: Gives the secrets that may have signed it (current, previous), none when the
            claims, unverified at that moment, name no integration of ours.

    Raises:
        InvalidToken: With the reason for the log.
    """
    if not isinstance(token, str) or not token:
        raise InvalidToken("no token")
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise InvalidToken("token too long")
    unverified = _decode_unverified(token)
    claims = _claims(unverified)
    secrets = [secret for secret in secrets_for(claims) if secret]
    if not secrets:
        raise InvalidToken("unknown or disabled integration")
    if _decode_with_any(token, secrets) != unverified:
        raise InvalidToken("claims differ")
    return claims


def days_left(access_token: str, now: float) -> float | None:
    """Days until a long-lived access token expires, as it states itself; None if it does not.

    https://developers.kommo.com/docs/long-lived-token: it is a JWT that only Kommo can verify.
    """
    try:
        return (_moment(_decode_unverified(access_token), "exp") - now) / DAY_SECONDS
    except InvalidToken:
        return None


def scopes(access_token: str) -> tuple[str, ...] | None:
    """What a long-lived access token may be used for, as it states itself; None if it does not."""
    try:
        found = _decode_unverified(access_token).get("scopes")
    except InvalidToken:
        return None
    if not isinstance(found, list):
        return None
    return tuple(one for one in found if isinstance(one, str) and NAME.fullmatch(one))


def sign_bot_token(claims: dict[str, Any], secret: str, algorithm: str = "HS512") -> str:
    """Sign claims as Kommo does, for test tokens."""
    return jwt.encode(claims, secret, algorithm=algorithm)


def _decode_unverified(token: str) -> dict[str, Any]:
    """The payload as it stands there: it chooses the key, and is compared when verified."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError) as error:
        raise InvalidToken("not a JWT") from error
    if not isinstance(claims, dict):
        raise InvalidToken("not a JWT")
    return claims


def _decode_with_any(token: str, secrets: Iterable[str]) -> dict[str, Any]:
    """Decode with the first secret whose signature fits."""
    for secret in secrets:
        try:
            return _decode(token, secret)
        except jwt.InvalidSignatureError:
            continue
    raise InvalidToken("signature does not fit")


def _decode(token: str, secret: str) -> dict[str, Any]:
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=ALGORITHMS,
            leeway=LEEWAY_SECONDS,
            options=OPTIONS,
        )
    except jwt.InvalidSignatureError:
        raise
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise InvalidToken(_reason(error)) from error
    return dict(claims)


def _reason(error: Exception) -> str:
    reasons = {
        jwt.ExpiredSignatureError: "expired",
        jwt.ImmatureSignatureError: "not valid yet",
        jwt.InvalidAlgorithmError: "other algorithm",
        jwt.MissingRequiredClaimError: "a claim is missing",
    }
    return reasons.get(type(error), f"not accepted ({type(error).__name__})")


def _claims(raw: dict[str, Any]) -> BotClaims:
    # The documentation writes client_uid, captures and the vendor's SDK client_uuid.
    return BotClaims(
        client_uuid=_text(raw, "client_uuid" if "client_uuid" in raw else "client_uid").lower(),
        account_id=_id(raw, "account_id"),
        subdomain=_text(raw, "subdomain").lower(),
        entity_type=str(_id(raw, "entity_type")),
        entity_id=_id(raw, "entity_id"),
        expires_at=_moment(raw, "exp"),
    )


def _text(raw: dict[str, Any], name: str) -> str:
    """A name as Kommo gives them. Checked before the signature: the store is asked for it."""
    value = raw.get(name)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise InvalidToken(f"claim {name} is missing or wrong")
    return value


def _id(raw: dict[str, Any], name: str) -> int:
    """A whole number, also as a string of digits, as Kommo writes `entity_type`."""
    value = raw.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:  # noqa: PLR2004
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ID:
        raise InvalidToken(f"claim {name} is missing or wrong")
    return value


def _moment(raw: dict[str, Any], name: str) -> float:
    value = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"claim {name} is missing or wrong")
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidToken(f"claim {name} is missing or wrong") from error
