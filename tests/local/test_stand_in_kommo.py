"""The stand-in Kommo: how it speaks to a bridge, and whose calls it refuses."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
import requests
from helpers import at_most

from local.partners.http.exchange import Answer, Request
from local.partners.http.faults import Redirect, Reset, ResetAfter, Slow, Status
from local.partners.http.local_server import LocalServer
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.partners.kommo.widget_requests import WaitingBlock

SECRET = "s" * 64
BODY = {"data": {"status": "success", "reply": "Hello!", "message": "Hello!"}}


class Bridge(LocalServer):
    """Acknowledges every widget request and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        return Answer.json(200, {"status": "ok"})


@pytest.fixture
def kommo() -> Iterator[StandInKommo]:
    with StandInKommo() as server:
        yield server
    assert server.errors == []


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    with Bridge() as server:
        yield server


@pytest.fixture
def acme(kommo: StandInKommo) -> Account:
    return kommo.add_account("acme", 12345678, "0b01-uuid", SECRET, "token-of-acme")


@pytest.fixture
def other(kommo: StandInKommo) -> Account:
    return kommo.add_account("other", 87654321, "0c02-uuid", "t" * 64, "token-of-other")


def continue_(block: WaitingBlock, body: Any = BODY, bearer: str | None = "token-of-acme") -> Any:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    data = body if isinstance(body, bytes) else json.dumps(body)
    return requests.post(block.return_url, data=data, headers=headers, timeout=2)


def get(url: str, bearer: str | None = "token-of-acme") -> requests.Response:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return requests.get(url, headers=headers, timeout=2)


# How it speaks


def test_a_widget_request_is_a_form_with_bracketed_keys(
    kommo: StandInKommo, bridge: Bridge, acme: Account
) -> None:
    sent = kommo.send_widget_request(
        bridge.url, acme, "Olá\n& olé", entity_id=5, data={"lead": {"id": 7}, "phone": None}
    )

    request = bridge.requests[0]
    fields = dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))
    token = fields.pop("token")
    assert (request.method, request.path) == ("POST", "/api/kommo/kommo/widget-request")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert fields == {
        "data[message]": "Olá\n& olé",
        "data[delivery]": "json",
        "data[lead][id]": "7",
        "data[phone]": "",
        "return_url": sent.block.return_url,
    }
    assert jwt.decode(token, SECRET, algorithms=["HS512"], audience=bridge.url)["entity_id"] == 5
    assert sent.status == 200
    assert sent.milliseconds > 0


def test_a_widget_request_may_be_json(kommo: StandInKommo, bridge: Bridge, acme: Account) -> None:
    kommo.send_widget_request(
        bridge.url, acme, "hi", entity_id=5, encoding="json", data={"lead": {"id": 7}}
    )

    request = bridge.requests[0]
    body = json.loads(request.body)
    assert request.headers["Content-Type"] == "application/json"
    assert body["data"] == {"message": "hi", "delivery": "json", "lead": {"id": "7"}}
    assert set(body) == {"token", "data", "return_url"}


def test_a_widget_request_may_be_a_form_whose_data_is_json(
    kommo: StandInKommo, bridge: Bridge, acme: Account
) -> None:
    kommo.send_widget_request(bridge.url, acme, "hi", entity_id=5, encoding="form_json")

    fields = dict(parse_qsl(bridge.requests[0].body.decode()))
    assert json.loads(fields["data"]) == {"message": "hi", "delivery": "json"}
    assert set(fields) == {"token", "data", "return_url"}


def test_a_hand_made_bot_sends_no_delivery(
    kommo: StandInKommo, bridge: Bridge, acme: Account
) -> None:
    kommo.send_widget_request(bridge.url, acme, "hi", entity_id=5, delivery=None)

    assert b"delivery" not in bridge.requests[0].body


def test_the_return_url_is_that_of_a_fresh_block(
    kommo: StandInKommo, bridge: Bridge, acme: Account
) -> None:
    first, second = (
        kommo.send_widget_request(bridge.url, acme, "hi", entity_id=5, bot_type=kind)
        for kind in ("salesbot", "marketingbot")
    )

    assert first.return_url == f"{kommo.url}/api/v4/salesbot/321/continue/{first.block.continue_id}"
    assert urlsplit(second.return_url).path.startswith("/api/v4/marketingbot/321/continue/")
    assert first.block.continue_id != second.block.continue_id


def test_return_url_and_token_may_be_forged(
    kommo: StandInKommo, bridge: Bridge, acme: Account
) -> None:
    sent = kommo.send_widget_request(
        bridge.url, acme, "hi", entity_id=5, return_url="https://evil.example/x", token="forged"
    )

    fields = dict(parse_qsl(bridge.requests[0].body.decode()))
    assert (fields["return_url"], fields["token"]) == ("https://evil.example/x", "forged")
    assert sent.block.return_url.startswith(kommo.url)


def test_a_repeat_sends_the_very_same_bytes(
    kommo: StandInKommo, bridge: Bridge, acme: Account
) -> None:
    kommo.repeat(kommo.send_widget_request(bridge.url, acme, "hi", entity_id=5))

    first, second = bridge.requests
    assert first.body == second.body


def test_an_acknowledgement_later_than_two_seconds_is_none(
    kommo: StandInKommo, bridge: Bridge, acme: Account
) -> None:
    bridge.faults.order(Slow(2.5))

    sent = kommo.send_widget_request(bridge.url, acme, "hi", entity_id=5)

    assert sent.status is None
    assert sent.milliseconds > 1900


def test_a_failed_widget_request_is_not_sent_again(
    kommo: StandInKommo, bridge: Bridge, acme: Account
) -> None:
    bridge.faults.order(Reset())
    bridge.faults.order(Status(503))
    bridge.faults.order(Redirect(f"{bridge.url}/elsewhere"))

    statuses = [
        kommo.send_widget_request(bridge.url, acme, "hi", entity_id=5).status for _ in range(3)
    ]

    assert statuses == [None, 503, 302]
    assert bridge.requests == []


def test_a_token_has_the_claims_of_a_live_one(kommo: StandInKommo, acme: Account) -> None:
    token = kommo.sign_token(acme, entity_id=26818280)

    claims = jwt.decode(token, SECRET, algorithms=["HS512"], options={"verify_aud": False})
    assert {name: type(value) for name, value in claims.items()} == {
        "iss": str,
        "aud": str,
        "iat": float,
        "nbf": float,
        "exp": float,
        "account_id": int,
        "subdomain": str,
        "client_uuid": str,
        "bot_type": str,
        "entity_type": str,
        "entity_id": int,
    }
    assert (claims["iss"], claims["entity_type"]) == ("https://acme.kommo.com", "2")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"lifetime_seconds": -1}, jwt.ExpiredSignatureError),
        ({"secret_key": "x" * 64}, jwt.InvalidSignatureError),
        ({"algorithm": "none"}, jwt.InvalidAlgorithmError),
        ({"algorithm": "HS256"}, jwt.InvalidAlgorithmError),
        ({"exp": None}, jwt.MissingRequiredClaimError),
    ],
)
def test_a_token_can_be_made_wrong_in_every_way(
    kommo: StandInKommo, acme: Account, options: dict[str, Any], error: type[Exception]
) -> None:
    token = kommo.sign_token(acme, entity_id=5, **options)

    with pytest.raises(error):
        jwt.decode(
            token,
            SECRET,
            algorithms=["HS512"],
            options={"verify_aud": False, "require": ["exp"]},
        )


# How it is continued


def test_a_right_continue_call_is_accepted_with_an_empty_202(
    kommo: StandInKommo, acme: Account
) -> None:
    block = kommo.open_block(acme)

    response = continue_(block)

    assert (response.status_code, response.content) == (202, b"")
    assert kommo.wait_for(block, timeout_seconds=0) == BODY
    assert [(one.account, one.continue_id) for one in kommo.continuations] == [
        (acme, block.continue_id)
    ]
    assert kommo.refusals == []


@pytest.mark.parametrize("bearer", [None, "wrong", "token-of-acm", "tokén"])
def test_a_missing_or_wrong_bearer_is_a_401(
    kommo: StandInKommo, acme: Account, bearer: str | None
) -> None:
    block = kommo.open_block(acme)
    headers = {"Authorization": f"Bearer {bearer}".encode()} if bearer else {}

    response = requests.post(block.return_url, json=BODY, headers=headers, timeout=2)

    assert response.status_code == 401
    assert (kommo.violations, kommo.continuations) == ([], [])
    assert [one.status for one in kommo.refusals] == [401]


def test_a_bearer_without_its_scheme_is_a_401(kommo: StandInKommo, acme: Account) -> None:
    headers = {"Authorization": acme.access_token}

    response = requests.post(
        kommo.open_block(acme).return_url, json=BODY, headers=headers, timeout=2
    )

    assert response.status_code == 401


def test_the_bot_token_is_no_bearer(kommo: StandInKommo, acme: Account) -> None:
    """Nobody got through with the request's own JWT."""
    bearer = kommo.sign_token(acme, entity_id=5)

    assert continue_(kommo.open_block(acme), bearer=bearer).status_code == 401


def test_the_bearer_of_another_account_is_a_401_and_a_violation(
    kommo: StandInKommo, acme: Account, other: Account
) -> None:
    block = kommo.open_block(acme)

    response = continue_(block, bearer=other.access_token)

    assert response.status_code == 401
    assert [(one.owner, one.bearer_of) for one in kommo.violations] == [("acme", "other")]
    assert continue_(block).status_code == 202


def test_a_violation_is_recorded_even_when_a_fault_is_met(
    kommo: StandInKommo, acme: Account, other: Account
) -> None:
    kommo.faults.order(Reset())

    with pytest.raises(requests.ConnectionError):
        continue_(kommo.open_block(acme), bearer=other.access_token)

    assert len(kommo.violations) == 1


def test_a_revoked_token_is_a_401_and_its_successor_works(
    kommo: StandInKommo, acme: Account
) -> None:
    block = kommo.open_block(acme)
    changed = kommo.change_access_token(acme, "new-token")

    assert continue_(block).status_code == 401
    assert continue_(block, bearer=changed.access_token).status_code == 202


def test_the_bearer_is_looked_at_before_the_block(kommo: StandInKommo, acme: Account) -> None:
    block = kommo.open_block(acme)
    kommo.expire(block)

    assert continue_(block, bearer="wrong").status_code == 401


def _was_never(kommo: StandInKommo, block: WaitingBlock) -> str:
    return f"{kommo.url}/api/v4/salesbot/321/continue/999999999999"


def _of_another_bot(kommo: StandInKommo, block: WaitingBlock) -> str:
    return block.return_url.replace("/321/", "/322/")


def _of_another_kind(kommo: StandInKommo, block: WaitingBlock) -> str:
    return block.return_url.replace("salesbot", "marketingbot")


def _continued(kommo: StandInKommo, block: WaitingBlock) -> str:
    continue_(block)
    return block.return_url


def _expired(kommo: StandInKommo, block: WaitingBlock) -> str:
    kommo.expire(block)
    return block.return_url


@pytest.mark.parametrize(
    "address", [_was_never, _of_another_bot, _of_another_kind, _continued, _expired]
)
def test_a_block_that_does_not_wait_is_a_404_whatever_the_body(
    kommo: StandInKommo, acme: Account, address: Callable[[StandInKommo, WaitingBlock], str]
) -> None:
    url = address(kommo, kommo.open_block(acme))

    response = requests.post(
        url, data="no json", headers={"Authorization": "Bearer token-of-acme"}, timeout=2
    )

    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == 404


def test_a_wrong_body_is_a_400_with_validation_errors_and_the_block_waits_on(
    kommo: StandInKommo, acme: Account
) -> None:
    block = kommo.open_block(acme)
    handler = {"handler": "show", "params": {"type": "text", "value": "a" * 81}}

    response = continue_(block, {**BODY, "execute_handlers": [handler]})

    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["validation-errors"] == [
        {
            "request_id": "0",
            "errors": [
                {
                    "code": "TooLong",
                    "path": "execute_handlers.0.params.value",
                    "detail": "This value is too long. It should have 80 characters or less.",
                }
            ],
        }
    ]
    assert [(one.status, one.code, one.continue_id) for one in kommo.refusals] == [
        (400, "TooLong", block.continue_id)
    ]
    assert continue_(block).status_code == 202


def test_a_block_is_continued_once_though_many_try_at_once(acme: Account) -> None:
    with StandInKommo(enforce_rate=False) as kommo:
        kommo.add_account("acme", 1, "id", SECRET, "token-of-acme")
        block = kommo.open_block(acme)

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: continue_(block).status_code, range(12)))

    assert sorted(answers) == [202] + [404] * 11
    assert len(kommo.continuations) == 1


def test_a_call_whose_answer_was_lost_has_arrived(kommo: StandInKommo, acme: Account) -> None:
    block = kommo.open_block(acme)
    kommo.faults.order(ResetAfter())

    with pytest.raises(requests.ConnectionError):
        continue_(block)

    assert kommo.wait_for(block, timeout_seconds=1) == BODY
    assert continue_(block).status_code == 404


def test_waiting_ends_when_the_block_is_continued(kommo: StandInKommo, acme: Account) -> None:
    block = kommo.open_block(acme)
    later = threading.Timer(0.1, continue_, [block])
    later.start()

    with at_most(2):
        assert kommo.wait_for(block, timeout_seconds=5) == BODY
    later.join()


def test_waiting_in_vain_raises(kommo: StandInKommo, acme: Account) -> None:
    continue_(kommo.open_block(acme))

    with pytest.raises(TimeoutError, match=r"not continued within 0\.05 s"):
        kommo.wait_for(kommo.open_block(acme), timeout_seconds=0.05)


@pytest.mark.parametrize(
    ("delivery", "status", "shown"),
    [
        ("json", "success", ["one", "Hello!"]),
        ("json", "skip", ["one"]),
        (None, "success", ["one"]),
    ],
)
def test_a_continuation_tells_what_the_customer_sees(
    kommo: StandInKommo, acme: Account, delivery: str | None, status: str, shown: list[str]
) -> None:
    """Our widget prints `data.reply` itself, so a `show` besides would be a second bubble."""
    block = kommo.open_block(acme, delivery=delivery)
    handler = {"handler": "show", "params": {"type": "text", "value": "one"}}
    continue_(block, {"data": {**BODY["data"], "status": status}, "execute_handlers": [handler]})

    assert kommo.wait_for_continuation(block, timeout_seconds=0).shown == shown


# Limits


def test_the_eighth_call_within_a_second_is_a_429(kommo: StandInKommo, acme: Account) -> None:
    answers = [continue_(kommo.open_block(acme)) for _ in range(8)]

    assert [one.status_code for one in answers] == [202] * 7 + [429]
    assert "Retry-After" not in answers[-1].headers
    assert kommo.busiest_second(acme) == 8


def test_an_account_is_not_refused_for_the_calls_of_another(
    kommo: StandInKommo, acme: Account, other: Account
) -> None:
    for _ in range(8):
        continue_(kommo.open_block(acme))

    assert continue_(kommo.open_block(other), bearer=other.access_token).status_code == 202
    assert (len(kommo.calls(acme)), len(kommo.calls(other))) == (8, 1)


def test_calls_are_taken_again_a_second_later(kommo: StandInKommo, acme: Account) -> None:
    for _ in range(8):
        continue_(kommo.open_block(acme))

    time.sleep(1.05)

    assert continue_(kommo.open_block(acme)).status_code == 202


def test_a_stubborn_caller_gets_403_for_everything(other: Account) -> None:
    with StandInKommo(calls_per_second=2, strikes=3, retry_after_seconds=4) as kommo:
        acme = kommo.add_account("acme", 1, "id", SECRET, "token-of-acme")
        kommo.add_account("other", 2, "id2", SECRET, "token-of-other")

        answers = [continue_(kommo.open_block(acme)) for _ in range(6)]
        foreign = get(f"{kommo.url}/api/v4/account", bearer="token-of-other")
        nobody = get(f"{kommo.url}/api/v4/account", bearer=None)
        kommo.lift_block()
        lifted = get(f"{kommo.url}/api/v4/account", bearer="token-of-other")

    assert [one.status_code for one in answers] == [202, 202, 429, 429, 429, 403]
    assert answers[2].headers["Retry-After"] == "4"
    assert (foreign.status_code, nobody.status_code, lifted.status_code) == (403, 403, 200)


def test_strikes_are_forgotten_in_time() -> None:
    with StandInKommo(calls_per_second=1, strikes=2, strike_seconds=0.1) as kommo:
        acme = kommo.add_account("acme", 1, "id", SECRET, "token-of-acme")

        statuses = []
        for _ in range(4):
            statuses.append(continue_(kommo.open_block(acme)).status_code)
            time.sleep(0.12)

    assert statuses == [202, 429, 429, 429]


def test_calls_are_counted_though_the_limit_is_off() -> None:
    with StandInKommo(enforce_rate=False) as kommo:
        acme = kommo.add_account("acme", 1, "id", SECRET, "token-of-acme")

        statuses = {continue_(kommo.open_block(acme)).status_code for _ in range(12)}

    assert statuses == {202}
    assert kommo.busiest_second(acme) == 12


def test_a_call_that_met_a_fault_is_counted(kommo: StandInKommo, acme: Account) -> None:
    kommo.faults.order(Status(503))

    continue_(kommo.open_block(acme))

    assert len(kommo.calls(acme)) == 1


# The rest of the API


def test_the_account_is_told_to_its_own_bearer(kommo: StandInKommo, acme: Account) -> None:
    response = get(f"{kommo.url}/api/v4/account")

    account = response.json()
    assert (account["id"], account["subdomain"]) == (12345678, "acme")
    assert {"name", "current_user_id"} <= set(account)
    assert response.headers["Date"]


@pytest.mark.parametrize("path", ["/api/v4/account", "/api/v4/leads/5", "/nowhere"])
def test_the_api_wants_a_bearer(kommo: StandInKommo, acme: Account, path: str) -> None:
    assert get(f"{kommo.url}{path}", bearer=None).status_code == 401


def test_a_lead_shows_the_tags_of_its_own_account(
    kommo: StandInKommo, acme: Account, other: Account
) -> None:
    kommo.tag_lead(acme, 5, "human")

    lead = get(f"{kommo.url}/api/v4/leads/5?with=contacts").json()
    foreign = get(f"{kommo.url}/api/v4/leads/5", bearer=other.access_token).json()

    assert [tag["name"] for tag in lead["_embedded"]["tags"]] == ["human"]
    assert foreign["_embedded"]["tags"] == []


def test_an_unknown_path_is_a_404(kommo: StandInKommo, acme: Account) -> None:
    assert get(f"{kommo.url}/api/v4/salesbot/run").status_code == 404


def test_nothing_that_can_be_printed_holds_a_secret(
    kommo: StandInKommo,
    bridge: Bridge,
    acme: Account,
    other: Account,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sent = kommo.send_widget_request(bridge.url, acme, "private words", entity_id=5)
    continue_(sent.block, bearer=other.access_token)
    continue_(sent.block)

    records = [sent, acme, kommo, *kommo.continuations, *kommo.refusals, *kommo.violations]
    printed = "".join(capfd.readouterr()) + repr(records)
    for secret in (SECRET, "token-of", sent.token, "private words"):
        assert secret not in printed
