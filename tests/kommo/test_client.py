"""The only HTTP to Kommo: what each answer means, and how little a bad server can do."""

import io
import logging
import time
import zlib
from collections.abc import Iterator

import pytest

from kommo_bridge.errors import KommoError
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.continuation import continuation
from kommo_bridge.telemetry.logs import set_up_logging
from local.partners.http.faults import (
    Drip,
    Fault,
    Garbage,
    Hang,
    Huge,
    Packed,
    Raw,
    Redirect,
    Reset,
    ResetAfter,
    Status,
)
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.redis_server import free_port

REPLY = continuation("success", "Yes, we do.", "json")


@pytest.fixture
def client() -> Iterator[KommoClient]:
    one = KommoClient()
    yield one
    one.close()


def refused(client: KommoClient, kommo: StandInKommo, account: Account) -> KommoError:
    url = kommo.url + kommo.open_block(account).path
    with pytest.raises(KommoError) as raised:
        client.continue_salesbot(url, REPLY, account.access_token)
    assert account.access_token not in str(raised.value)
    assert "continue/" not in str(raised.value)
    return raised.value


def test_an_accepted_call_raises_nothing(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    url = kommo.url + kommo.open_block(account).path

    client.continue_salesbot(url, REPLY, account.access_token)

    assert kommo.continuations[0].body == REPLY.body()


@pytest.mark.parametrize(
    ("status", "permanent", "arrived"),
    [
        (304, True, False),
        (400, True, False),
        (401, True, False),
        (403, True, False),
        (404, True, False),
        (429, False, False),
        (500, False, True),
        (503, False, True),
    ],
)
def test_each_status_says_whether_to_try_again_and_whether_it_may_have_arrived(
    client: KommoClient,
    kommo: StandInKommo,
    account: Account,
    status: int,
    permanent: bool,
    arrived: bool,
) -> None:
    kommo.faults.order(Status(status))

    error = refused(client, kommo, account)

    assert (error.status, error.permanent, error.arrived) == (status, permanent, arrived)


@pytest.mark.parametrize("fault", [Reset(), ResetAfter()])
def test_a_broken_connection_leaves_the_outcome_unknown(
    client: KommoClient, kommo: StandInKommo, account: Account, fault: Fault
) -> None:
    kommo.faults.order(fault)

    error = refused(client, kommo, account)

    assert (error.status, error.permanent, error.arrived) == (None, False, True)


def test_a_refused_connection_surely_did_not_arrive(client: KommoClient) -> None:
    url = f"http://127.0.0.1:{free_port()}/api/v4/salesbot/1/continue/2"

    with pytest.raises(KommoError) as raised:
        client.continue_salesbot(url, REPLY, "token")

    assert (raised.value.permanent, raised.value.arrived) == (False, False)


def test_the_codes_of_a_400_are_read(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    url = kommo.url + kommo.open_block(account).path
    too_long = type(REPLY)("success", "x", ("y" * 81,))

    with pytest.raises(KommoError) as raised:
        client.continue_salesbot(url, too_long, account.access_token)

    assert raised.value.codes == ("TooLong",)


@pytest.mark.parametrize(
    "body", ['{"validation-errors": 5}', '{"validation-errors": [{"errors": [1]}]}', "[", "[]", ""]
)
def test_an_odd_body_of_a_400_is_no_trouble(
    client: KommoClient, kommo: StandInKommo, account: Account, body: str
) -> None:
    kommo.faults.order(Status(400, body))

    assert refused(client, kommo, account).codes == ()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-5", 0.0), ("999999", 3600.0), ("nan", None), ("soon", None)],
)
def test_retry_after_is_read_within_reason(
    client: KommoClient, kommo: StandInKommo, account: Account, header: str, seconds: float | None
) -> None:
    kommo.faults.order(Status(429, headers={"Retry-After": header}))

    assert refused(client, kommo, account).retry_after_seconds == seconds


def test_retry_after_in_the_body_is_read_too(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    kommo.faults.order(Status(429, {"retry_after": 300}))

    assert refused(client, kommo, account).retry_after_seconds == 300


def test_the_token_does_not_follow_a_redirect(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    with StandInKommo() as other:
        kommo.faults.order(Redirect(other.url + "/api/v4/salesbot/1/continue/2"))

        assert refused(client, kommo, account).permanent
        assert not other.refusals


@pytest.mark.parametrize("fault", [Drip(0.05), Hang(), Huge()])
def test_a_slow_or_endless_answer_ends_within_the_total_deadline(
    kommo: StandInKommo, account: Account, fault: Fault
) -> None:
    impatient = KommoClient(total_seconds=1)
    kommo.faults.order(fault)
    started = time.monotonic()

    error = refused(impatient, kommo, account)
    impatient.close()

    assert time.monotonic() - started < 3
    assert (error.permanent, error.arrived) == (False, True)


def test_an_answer_that_is_none_is_no_success(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    """202 with a strange body is Kommo's word all the same: only the status counts."""
    kommo.faults.order(Garbage())
    url = kommo.url + kommo.open_block(account).path

    client.continue_salesbot(url, REPLY, account.access_token)


def test_a_proxy_of_the_environment_never_sees_the_token(
    client: KommoClient, kommo: StandInKommo, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StandInKommo() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        url = kommo.url + kommo.open_block(account).path

        client.continue_salesbot(url, REPLY, account.access_token)

        assert not proxy.refusals
        assert len(kommo.continuations) == 1


def test_an_account_says_who_it_is(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    answer = client.account(kommo.url, account.access_token)

    assert (answer.account_id, answer.subdomain) == (account.account_id, "acme")
    assert answer.date
    assert answer.is_admin is True


def test_a_small_answer_that_unpacks_to_a_huge_one_stays_packed(
    client: KommoClient, kommo: StandInKommo, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    kommo.faults.order(Packed(60_000_000, status=500))
    monkeypatch.setattr(zlib, "decompressobj", _never)

    assert refused(client, kommo, account).status == 500


def _never(*_args: object) -> None:
    raise AssertionError("it was unpacked")


def test_an_endless_answer_ends_at_its_size_long_before_the_deadline(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    kommo.faults.order(Huge())
    started = time.monotonic()

    assert refused(client, kommo, account).arrived
    assert time.monotonic() - started < 2


def test_calls_share_a_warm_connection_after_a_refusal_too(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    kommo.faults.order(Status(429))
    refused(client, kommo, account)
    for _ in range(3):
        url = kommo.url + kommo.open_block(account).path
        client.continue_salesbot(url, REPLY, account.access_token)

    assert kommo.connections == 1


def test_a_connection_that_kommo_closed_meanwhile_is_replaced(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    first, second = (kommo.url + kommo.open_block(account).path for _ in range(2))
    client.continue_salesbot(first, REPLY, account.access_token)
    kommo.stop()
    kommo.start()

    client.continue_salesbot(second, REPLY, account.access_token)

    assert len(kommo.continuations) == 2


BAD_HEADERS = [
    b"Location: http://[\r\n",
    b"Location: http://\xff\xfe/\r\n",
    b"Location: http://<img src=x onerror=alert(1)>\xe2\x84\x80/\r\n",
    b"no header at all\r\n",
    b"Set-Cookie secret=\x00\r\n\r\nContent-Length: 5\r\n",
]


@pytest.mark.parametrize("header", BAD_HEADERS)
@pytest.mark.parametrize("status", ["302 Found", "400 Bad Request"])
def test_bad_headers_are_a_refusal_and_neither_crash_nor_log_the_url(
    client: KommoClient, kommo: StandInKommo, account: Account, header: bytes, status: str
) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    set_up_logging("DEBUG", "text", stream)
    answer = f"HTTP/1.1 {status}\r\n".encode() + header + b"Content-Length: 0\r\n\r\n"
    kommo.faults.order(Raw(answer))

    refused(client, kommo, account)

    root.handlers[:], root.level = before
    assert "continue/" not in stream.getvalue()
    assert "cookie" not in stream.getvalue().lower()
