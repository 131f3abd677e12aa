"""The only HTTP to Kommo: what each answer means, and how little a bad server can do."""

import io
import logging
import socket
import zlib
from collections.abc import Iterator

import pytest
import requests
from helpers import at_most
from redis import Redis

from kommo_bridge.errors import KommoError
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.continuation import Continuation, continuation
from kommo_bridge.kommo.crm import Crm
from kommo_bridge.kommo.pacing import SLOTS, Pacer
from kommo_bridge.kommo.response import kind_of
from kommo_bridge.kommo.results import CallResult
from kommo_bridge.kommo.slot import NotNow, Slot
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


HOST = "acme.kommo.com"


@pytest.fixture
def pacer(redis: Redis) -> Pacer:
    return Pacer(redis)


@pytest.fixture
def client(redis: Redis, kommo: StandInKommo) -> Iterator[KommoClient]:
    one = KommoClient(Pacer(redis), frozenset({kommo.host}))
    yield one
    one.close()


def call(
    client: KommoClient, url: str, access_token: str, continuation: Continuation = REPLY
) -> CallResult:
    """One continue call in a slot of its own."""
    slot = client.book(HOST)
    assert isinstance(slot, Slot)
    with slot:
        return client.continue_salesbot(slot, url, continuation, access_token)


def continued(client: KommoClient, kommo: StandInKommo, account: Account) -> CallResult:
    """What becomes of a call to a block that waits."""
    return call(client, kommo.url + kommo.open_block(account).path, account.access_token)


def refused(client: KommoClient, kommo: StandInKommo, account: Account) -> CallResult:
    result = continued(client, kommo, account)
    assert not result.accepted
    assert result.error
    assert account.access_token not in result.error
    assert "continue/" not in result.error
    return result


def test_an_accepted_call_has_no_error(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    assert continued(client, kommo, account).accepted

    assert kommo.continuations[0].body == REPLY.body()


@pytest.mark.parametrize(
    ("status", "arrived"),
    [
        *((304, False), (400, False), (401, False), (403, False), (404, False), (429, False)),
        *((500, True), (503, True)),
    ],
)
def test_each_status_says_whether_the_call_may_have_arrived(
    client: KommoClient, kommo: StandInKommo, account: Account, status: int, arrived: bool
) -> None:
    kommo.faults.order(Status(status))

    result = refused(client, kommo, account)

    assert (result.status, result.may_have_arrived) == (status, arrived)


@pytest.mark.parametrize("fault", [Reset(), ResetAfter()])
def test_a_broken_connection_leaves_the_outcome_unknown(
    client: KommoClient, kommo: StandInKommo, account: Account, fault: Fault
) -> None:
    kommo.faults.order(fault)

    error = refused(client, kommo, account)

    assert (error.status, error.may_have_arrived) == (None, True)


def test_a_refused_connection_surely_did_not_arrive(redis: Redis) -> None:
    host = f"127.0.0.1:{free_port()}"
    client = KommoClient(Pacer(redis), frozenset({host}))

    result = call(client, f"http://{host}/api/v4/salesbot/1/continue/2", "token")

    assert (result.status, result.may_have_arrived) == (None, False)


def test_the_codes_of_a_400_are_read(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    url = kommo.url + kommo.open_block(account).path
    too_long = type(REPLY)("success", "x", ("y" * 81,))

    result = call(client, url, account.access_token, too_long)

    assert result.codes == ("TooLong",)


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
    [("7", 7.0), ("0", 1.0), ("-5", 1.0), ("999999", 600.0), ("nan", 10.0), ("soon", 10.0)],
)
def test_a_429_pauses_its_account_as_long_as_it_asks_within_reason(
    client: KommoClient,
    kommo: StandInKommo,
    account: Account,
    pacer: Pacer,
    header: str,
    seconds: float,
) -> None:
    kommo.faults.order(Status(429, headers={"Retry-After": header}))

    assert refused(client, kommo, account).retry_after_seconds == seconds
    assert seconds - 1 < pacer.paused_seconds(HOST) <= seconds


def test_a_503_says_when_to_come_back_and_pauses_nobody(
    client: KommoClient, kommo: StandInKommo, account: Account, pacer: Pacer
) -> None:
    kommo.faults.order(Status(503, headers={"Retry-After": "7"}))

    assert refused(client, kommo, account).retry_after_seconds == 7
    assert pacer.paused_seconds(HOST) == 0


def test_a_403_may_be_a_block_only_after_a_429(
    client: KommoClient, kommo: StandInKommo, account: Account, pacer: Pacer, redis: Redis
) -> None:
    kommo.faults.order(Status(403), times=2)

    assert not refused(client, kommo, account).blocked
    pacer.limited("beta.kommo.com", 1)
    redis.delete(f"kommo_bridge:pacing:{HOST}:pause")
    assert refused(client, kommo, account).blocked
    assert pacer.paused_seconds(HOST) > 60
    assert isinstance(client.book("gamma.kommo.com"), Slot)


def test_an_account_that_was_paused_while_its_slot_was_waited_for_is_not_called(
    client: KommoClient, kommo: StandInKommo, account: Account, pacer: Pacer
) -> None:
    for _ in range(SLOTS):
        continued(client, kommo, account)
    slot = client.book(HOST)
    assert isinstance(slot, Slot)
    pacer.pause(HOST, 30)
    url = kommo.url + kommo.open_block(account).path

    with slot:
        result = client.continue_salesbot(slot, url, REPLY, account.access_token)

    assert (result.status, result.may_have_arrived) == (None, False)
    assert result.retry_after_seconds is not None
    assert result.retry_after_seconds > 25
    assert len(kommo.continuations) == SLOTS


@pytest.mark.parametrize("place", ["https://beta.kommo.com", "http://acme.kommo.com", "https://x"])
def test_a_token_never_goes_to_another_host_than_its_slots(client: KommoClient, place: str) -> None:
    url = f"{place}/api/v4/salesbot/1/continue/2"

    with pytest.raises(KommoError, match="not the account's own") as raised:
        call(client, url, "token")
    with pytest.raises(KommoError, match="not the account's own"):
        Crm(client, HOST, "token", place).lead(7)

    assert raised.value.permanent


def test_a_lookup_waits_for_no_pause(client: KommoClient, pacer: Pacer) -> None:
    pacer.pause(HOST, 30)

    with pytest.raises(KommoError) as raised:
        Crm(client, HOST, "token").lead(7)

    assert not raised.value.permanent
    assert raised.value.retry_after_seconds is not None
    assert raised.value.retry_after_seconds > 25


def test_a_429_to_a_lookup_pauses_its_account_too(
    client: KommoClient, kommo: StandInKommo, account: Account, pacer: Pacer
) -> None:
    kommo.faults.order(Status(429))

    with pytest.raises(KommoError):
        Crm(client, HOST, account.access_token, kommo.url).lead(7)

    assert 9 < pacer.paused_seconds(HOST) <= 10


def test_a_403_to_a_lookup_says_nothing_of_the_right_to_continue(
    client: KommoClient, kommo: StandInKommo, account: Account, pacer: Pacer
) -> None:
    pacer.limited("beta.kommo.com", 1)
    kommo.faults.order(Status(403))

    with pytest.raises(KommoError) as raised:
        Crm(client, HOST, account.access_token, kommo.url).lead(7)

    assert raised.value.permanent
    assert pacer.paused_seconds(HOST) == 0


def test_the_tags_of_a_large_lead_are_read(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    kommo.tag_lead(account, 7, "human")
    kommo.crm.long_text = "x" * 1_000_000

    lead = Crm(client, HOST, account.access_token, kommo.url).lead(7)

    assert lead.tags == ("human",)


def test_a_lead_that_is_too_large_is_no_lead_without_tags(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    kommo.crm.long_text = "x" * 3_000_000

    with pytest.raises(KommoError, match="TooLarge"):
        Crm(client, HOST, account.access_token, kommo.url).lead(7)


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

        assert refused(client, kommo, account).status == 302
        assert not other.refusals


@pytest.mark.parametrize("fault", [Drip(0.05), Hang(), Huge()])
def test_a_slow_or_endless_answer_ends_within_the_total_deadline(
    redis: Redis, kommo: StandInKommo, account: Account, fault: Fault
) -> None:
    impatient = KommoClient(Pacer(redis), frozenset({kommo.host}), total_seconds=1)
    kommo.faults.order(fault)

    with at_most(3):
        error = refused(impatient, kommo, account)
        impatient.close()

    assert (error.status, error.may_have_arrived) == (None, True)


def test_an_answer_that_is_none_is_no_success(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    """202 with a strange body is Kommo's word all the same: only the status counts."""
    kommo.faults.order(Garbage())

    assert continued(client, kommo, account).accepted


def test_a_proxy_of_the_environment_never_sees_the_token(
    client: KommoClient, kommo: StandInKommo, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StandInKommo() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)

        assert continued(client, kommo, account).accepted
        assert not proxy.refusals
        assert len(kommo.continuations) == 1


def test_an_account_says_who_it_is(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    answer = client.account(HOST, account.access_token, base_url=kommo.url)

    assert (answer.account_id, answer.subdomain) == (account.account_id, "acme")
    assert answer.date
    assert answer.is_admin is True


def test_a_small_answer_that_unpacks_to_a_huge_one_stays_packed(
    client: KommoClient, kommo: StandInKommo, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    kommo.faults.order(Packed(6_000_000, status=500))
    monkeypatch.setattr(zlib, "decompressobj", _never)

    assert refused(client, kommo, account).status == 500


def _never(*_args: object) -> None:
    raise AssertionError("it was unpacked")


def test_an_endless_answer_ends_at_its_size_long_before_the_deadline(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    kommo.faults.order(Huge())

    with at_most(2):
        assert refused(client, kommo, account).may_have_arrived


def test_calls_share_a_warm_connection_after_a_refusal_too(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    kommo.faults.order(Status(404))
    refused(client, kommo, account)
    for _ in range(3):
        assert continued(client, kommo, account).accepted

    assert kommo.connections == 1


def test_a_connection_that_kommo_closed_meanwhile_is_replaced(
    client: KommoClient, kommo: StandInKommo, account: Account
) -> None:
    first, second = (kommo.url + kommo.open_block(account).path for _ in range(2))
    call(client, first, account.access_token)
    kommo.stop()
    kommo.start()

    call(client, second, account.access_token)

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


def test_after_a_call_that_was_broken_off_its_slot_rests_until_it_cannot_arrive_any_more(
    redis: Redis, kommo: StandInKommo, account: Account
) -> None:
    """That we have stopped waiting does not mean that Kommo has it already."""
    client = KommoClient(Pacer(redis), frozenset({kommo.host}), total_seconds=0.2)
    kommo.faults.order(Hang(), times=SLOTS)
    for _ in range(SLOTS):
        assert refused(client, kommo, account).may_have_arrived

    assert isinstance(client.book(HOST), NotNow)
    client.close()


def test_what_kept_kommo_from_answering_is_told_without_a_host() -> None:
    unknown = requests.ConnectionError("acme.kommo.com")
    unknown.__cause__ = socket.gaierror("acme.kommo.com")

    assert kind_of(unknown) == "its name is not known here"
    assert kind_of(requests.ReadTimeout("acme.kommo.com")) == "ReadTimeout"
