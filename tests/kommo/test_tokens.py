"""The bot token: whom it lets in, and that nothing else does."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
import warnings
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from helpers import at_most
from hypothesis import example, given
from hypothesis import strategies as st

from kommo_bridge.errors import InvalidToken
from kommo_bridge.kommo.tokens import (
    MAX_TOKEN_CHARACTERS,
    BotClaims,
    sign_bot_token,
    verify_bot_token,
)

SECRET = "a1" * 32
OTHER_SECRET = "b2" * 32
INTEGRATION_ID = "0b01c2d3-0000-4000-8000-00000000456c"
REQUIRED = ("exp", "account_id", "subdomain", "client_uuid", "entity_type", "entity_id")


class Seconds(float):
    """A time from the moment the token is made: parameters are made long before."""


class Whole(int):
    """The same in whole seconds."""


def claims_of(**changed: Any) -> dict[str, Any]:
    """The claims of a captured bot token, with changes; None leaves a claim out."""
    now = time.time()
    claims = {
        "iss": "https://acme.kommo.com",
        "aud": "https://bridge.example.com",
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "account_id": 12345678,
        "subdomain": "acme",
        "client_uuid": INTEGRATION_ID,
        "bot_type": "salesbot",
        "entity_type": "2",
        "entity_id": 26818280,
    }
    times = {
        key: type(value)(now + value)
        for key, value in changed.items()
        if isinstance(value, Seconds | Whole)
    }
    every = {**claims, **changed, **times}
    return {key: value for key, value in every.items() if value is not None}


def token_of(secret: str = SECRET, **changed: Any) -> str:
    return sign_bot_token(claims_of(**changed), secret)


def hand_made(header: bytes, payload: bytes, secret: str = SECRET) -> str:
    """A token of exactly these bytes, rightly signed: what no library would write."""
    signed = f"{encoded(header)}.{encoded(payload)}"
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha512).digest()
    return f"{signed}.{encoded(signature)}"


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def payload_with(**raw: str) -> bytes:
    """A payload in which some claims are written as raw JSON, such as `1e999`."""
    claims = {key: json.dumps(value) for key, value in claims_of().items()} | raw
    return ("{" + ",".join(f'"{key}":{value}' for key, value in claims.items()) + "}").encode()


def verify(token: object, *secrets: str) -> BotClaims:
    return verify_bot_token(token, lambda _: secrets or (SECRET,))


def reason_of(token: object, *secrets: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        verify(token, *secrets)
    return caught.value.reason


@pytest.mark.parametrize("algorithm", ["HS512", "HS256"])
def test_a_token_signed_with_either_algorithm_of_kommo_is_accepted(algorithm: str) -> None:
    claims = claims_of()

    verified = verify(sign_bot_token(claims, SECRET, algorithm))

    assert verified == BotClaims(
        INTEGRATION_ID, 12345678, "acme", "2", 26818280, float(claims["exp"])
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": Seconds(300.123), "nbf": Seconds(-0.5), "iat": Seconds(0.25)},
        {"exp": Whole(300)},
        {"jti": "once"},
        {"jti": 5},
        {"client_uuid": None, "client_uid": INTEGRATION_ID},
        {"client_uuid": INTEGRATION_ID.upper(), "subdomain": "ACME"},
        {"entity_type": "2"},
        {"entity_type": 2},
        {"account_id": "12345678"},
        {"entity_id": "26818280"},
        {"aud": None},
        {"aud": "https://somewhere.else.example"},
        {"aud": ["a", "b"]},
        {"aud": 5},
        {"iat": None, "nbf": None, "iss": None},
        {"iat": Seconds(3600)},
        {"iat": "yesterday"},
        {"sub": 5},
        {"exp": Seconds(-50)},
        {"nbf": Seconds(50)},
    ],
)
def test_what_kommo_is_known_to_vary_is_accepted(changed: dict[str, Any]) -> None:
    verified = verify(token_of(**changed))

    assert verified.client_uuid == INTEGRATION_ID
    assert (verified.account_id, verified.subdomain) == (12345678, "acme")
    assert (verified.entity_type, verified.entity_id) == ("2", 26818280)


def test_client_uuid_is_read_before_client_uid() -> None:
    assert verify(token_of(client_uid="another")).client_uuid == INTEGRATION_ID


@pytest.mark.parametrize("secrets", [(SECRET, OTHER_SECRET), (OTHER_SECRET, SECRET), ("", SECRET)])
def test_the_current_and_the_previous_secret_both_verify(secrets: tuple[str, ...]) -> None:
    assert verify(token_of(), *secrets).subdomain == "acme"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"exp": Seconds(-70)}, "expired"), ({"nbf": Seconds(70)}, "not valid yet")],
)
def test_beyond_the_leeway_of_a_minute_a_token_is_refused(
    changed: dict[str, Any], reason: str
) -> None:
    assert reason_of(token_of(**changed)) == reason


def test_a_token_signed_by_another_tenant_is_refused() -> None:
    assert reason_of(token_of(OTHER_SECRET)) == "signature does not fit"


def test_the_key_is_chosen_by_the_claims() -> None:
    asked: list[BotClaims] = []

    def secrets_for(claims: BotClaims) -> tuple[str, ...]:
        asked.append(claims)
        return (SECRET,)

    verified = verify_bot_token(token_of(), secrets_for)

    assert asked == [verified]


@pytest.mark.parametrize("secrets", [(), ("",), ("", "")])
def test_an_unknown_integration_or_one_without_secret_lets_nobody_in(
    secrets: tuple[str, ...],
) -> None:
    for signed_with in (SECRET, "\x00" * 64):
        with pytest.raises(InvalidToken, match="not valid") as caught:
            verify_bot_token(token_of(signed_with), lambda _: secrets)

        assert caught.value.reason == "unknown or disabled integration"


def test_a_token_signed_with_the_empty_secret_is_refused() -> None:
    payload = json.dumps(claims_of()).encode()
    token = hand_made(b'{"alg":"HS512"}', payload, secret="")

    assert reason_of(token, "", SECRET) == "signature does not fit"
    assert reason_of(token, "") == "unknown or disabled integration"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_the_algorithm_none_is_refused(name: str, signature: str) -> None:
    header = encoded(json.dumps({"alg": name, "typ": "JWT"}).encode())
    body = encoded(json.dumps(claims_of()).encode())

    assert reason_of(f"{header}.{body}.{signature}") in ("other algorithm", "not a JWT")


def test_a_token_without_signature_as_the_library_writes_it_is_refused() -> None:
    assert reason_of(jwt.encode(claims_of(), "", algorithm="none")) == "other algorithm"


def test_another_hmac_with_the_right_secret_is_refused() -> None:
    assert reason_of(sign_bot_token(claims_of(), SECRET, "HS384")) == "other algorithm"


def test_asymmetric_tokens_are_refused_even_with_their_public_key_as_secret() -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    rsa_public = rsa_key.public_key().public_bytes(*pem).decode()
    ec_public = ec_key.public_key().public_bytes(*pem).decode()

    assert reason_of(jwt.encode(claims_of(), rsa_key, "RS256"), rsa_public) == "other algorithm"
    assert reason_of(jwt.encode(claims_of(), rsa_key, "PS512"), rsa_public) == "other algorithm"
    assert reason_of(jwt.encode(claims_of(), ec_key, "ES256"), ec_public) == "other algorithm"


def test_a_public_key_is_no_secret_for_an_hmac_either() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    public = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
    forged = hand_made(b'{"alg":"HS512"}', json.dumps(claims_of()).encode(), public)

    assert reason_of(forged, public).startswith("not accepted")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_token_without_a_claim_that_we_rely_on_is_refused(name: str) -> None:
    assert reason_of(token_of(SECRET, **{name: None})).startswith("claim ")


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", ["", "x\x00y", "\ud800", "ümlaut", True, [], {}, -1.5, "x" * 300])
def test_a_claim_of_the_wrong_kind_is_refused(name: str, value: object) -> None:
    token = hand_made(b'{"alg":"HS512"}', json.dumps(claims_of(**{name: value})).encode())

    assert reason_of(token)


@pytest.mark.parametrize("name", ["account_id", "entity_id", "entity_type"])
@pytest.mark.parametrize("value", [-1, 2**63, "9" * 30, "-1", "²", "１２", " 1", "1.0", 1.0])
def test_an_id_that_is_no_plain_number_is_refused(name: str, value: object) -> None:
    assert reason_of(token_of(SECRET, **{name: value})) == f"claim {name} is missing or wrong"


@pytest.mark.parametrize("name", ["exp", "nbf"])
@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "1e999", "9" * 400, "9" * 5000, '"soon"', "[1]", "{}"]
)
def test_a_moment_that_is_no_moment_is_refused(name: str, value: str) -> None:
    assert reason_of(hand_made(b'{"alg":"HS512"}', payload_with(**{name: value})))


@pytest.mark.parametrize("value", ["-Infinity", "-1e999", "-1", "0", "-" + "9" * 400])
def test_an_end_long_ago_is_refused(value: str) -> None:
    assert reason_of(hand_made(b'{"alg":"HS512"}', payload_with(exp=value)))


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"alg":null}',
        b'{"alg":5}',
        b'{"alg":{}}',
        b'{"alg":["HS512"]}',
        b'{"alg":"hs512"}',
        b'{"alg":"HS512 "}',
        b'{"alg":"HS512","kid":5}',
        b'{"alg":"HS512","crit":["x"]}',
        b'{"alg":"HS512","crit":5}',
        b'{"alg":"HS512","b64":false,"crit":["b64"]}',
        b"[" * 3000,
    ],
)
def test_a_strange_header_is_refused(header: bytes) -> None:
    assert reason_of(hand_made(header, json.dumps(claims_of()).encode()))


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b'"x"', b"\xff", b"[" * 4000, b'{"a":' * 1000, b"1" * 5000]
)
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    assert reason_of(hand_made(b'{"alg":"HS512"}', payload)) == "not a JWT"


@pytest.mark.parametrize(
    "token",
    [None, "", 5, 1.5, True, b"a.b.c", [], ["a.b.c"], {}, {"token": "x"}, object()],
)
def test_what_is_no_text_is_no_token(token: object) -> None:
    assert reason_of(token) == "no token"


@pytest.mark.parametrize(
    "token",
    [
        "test_jwt_token",
        "a.b.c",
        "...",
        ".",
        "\x00",
        "é.é.é",
        "\ud800.a.b",
        "eyJ..",
        " ",
        "a" * 8000,
    ],
)
def test_garbage_is_refused(token: str) -> None:
    assert reason_of(token) == "not a JWT"


def test_a_token_of_ten_megabytes_is_refused_at_once() -> None:
    with at_most(3):
        assert reason_of("a." * 5_000_000) == "token too long"
        assert reason_of(token_of(name="x" * MAX_TOKEN_CHARACTERS)) == "token too long"


def test_space_around_a_token_is_not_cut_away() -> None:
    token = token_of()

    for spoilt in (f" {token}", f"{token}\n", f"{token}.", token.replace(".", " .", 1)):
        assert reason_of(spoilt)


def test_the_caller_learns_nothing_of_the_reason() -> None:
    for token in (None, "x", token_of(OTHER_SECRET), token_of(exp=1), token_of(subdomain=None)):
        with pytest.raises(InvalidToken) as caught:
            verify(token)

        assert caught.value.message == "The token is missing or not valid."
        assert SECRET not in caught.value.reason


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.one_of(st.text(), st.binary(), ANY_JSON, st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*")))
def test_no_input_raises_anything_but_invalid_token(token: object) -> None:
    with pytest.raises(InvalidToken):
        verify(token)


@given(
    header=st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64"]), ANY_JSON),
    payload=st.dictionaries(st.sampled_from([*claims_of(), "client_uid", "jti"]), ANY_JSON),
    base=st.booleans(),
)
@example(header={}, payload={"subdomain": "\ud800"}, base=True)
def test_no_rightly_signed_token_raises_anything_but_invalid_token(
    header: dict[str, Any], payload: dict[str, Any], base: bool
) -> None:
    claims = {**claims_of(), **payload} if base else payload
    token = hand_made(
        json.dumps({"alg": "HS512", **header}).encode(), json.dumps(claims, default=str).encode()
    )

    try:
        verified = verify(token)
    except InvalidToken:
        return

    assert verified.client_uuid.isascii()
    assert verified.subdomain.isascii()


@given(st.data())
def test_no_token_with_a_changed_character_verifies(data: st.DataObject) -> None:
    token = TOKEN
    place = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.characters().filter(lambda one: one != token[place]))

    assert reason_of(token[:place] + character + token[place + 1 :])


TOKEN = token_of(exp=time.time() + 86400)


def test_no_single_character_of_a_token_can_be_exchanged_for_its_neighbour() -> None:
    for place, character in enumerate(TOKEN):
        flipped = chr(ord(character) ^ 1)

        assert reason_of(TOKEN[:place] + flipped + TOKEN[place + 1 :]), place


def test_a_short_secret_prints_no_warning_of_the_library() -> None:
    code = "from kommo_bridge.kommo.tokens import sign_bot_token; sign_bot_token({}, 'short')"

    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stderr == ""


def test_a_short_secret_of_an_old_integration_still_verifies() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = sign_bot_token(claims_of(), "short-secret")

        assert verify(token, "short-secret").subdomain == "acme"
