"""Monday's message: when it is due, to whom, once, and through a real mail server."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, Session
from redis import Redis

from kommo_bridge.conversations.days import Answered, Days
from kommo_bridge.errors import AlertError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.monitoring.mondays import (
    LOOK_KEY,
    Mondays,
    due_week,
    language_for,
    monday_somewhere,
    post_publicly,
)
from kommo_bridge.outgoing.mail import Mailer
from local.redis_server import free_port

LAST_WEEK = date(2026, 11, 16)


def at(day: int, hour: float) -> float:
    """A moment of November 2026 in UTC; the 23rd is a Monday."""
    return datetime(2026, 11, day, tzinfo=UTC).timestamp() + hour * 3600


class Mailbox:
    """What a mail server took; it refuses `refused`."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refused = False

    async def handle_DATA(self, _server: object, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if not session.authenticated:
            return "530 log in first"
        if self.refused:
            return "451 come back later"
        assert isinstance(envelope.content, bytes)
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        return "250 OK"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def smtp_url(mailbox: Mailbox) -> Iterator[str]:
    """A mail server on this machine that knows one password."""

    def check(
        _server: object, _session: object, _envelope: object, _way: str, given: object
    ) -> AuthResult:
        return AuthResult(success=getattr(given, "password", b"") == b"p@ss", handled=False)

    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=check,
        auth_require_tls=False,
    )
    controller.start()
    yield f"smtp://bot%40example.com:p%40ss@127.0.0.1:{controller.port}"
    controller.stop()


@pytest.fixture
def owned(store: IntegrationStore, redis: Redis, acme: Integration) -> Integration:
    """Acme, with an owner who has a mail address and a webhook, and a week in which it worked."""
    integration = replace(
        acme,
        owner_email="owner@acme.com",
        owner_webhook_url="https://hooks.example.com/secret",
        instructions="Somos una floristería. ¿Cuánto cuesta? Las rosas para usted.",
    )
    store.save(integration)
    Days(redis).answered(integration, Answered("a", 3.0), at(18, 12))
    return integration


class Hooks:
    """Keeps what owners' webhooks got; raises while `away`."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Mapping[str, object]]] = []
        self.away = False

    def __call__(self, url: str, body: Mapping[str, object]) -> None:
        if self.away:
            raise AlertError("owner_webhook_url gave no answer (OSError).")
        self.got.append((url, body))


@pytest.mark.parametrize(
    ("zone", "now", "due"),
    [
        ("UTC", at(23, 7.99), None),
        ("UTC", at(23, 8), LAST_WEEK),
        ("UTC", at(23, 23.9), LAST_WEEK),
        ("UTC", at(24, 0), None),
        ("UTC", at(22, 12), None),
        ("Asia/Tokyo", at(22, 22.9), None),
        ("Asia/Tokyo", at(22, 23), LAST_WEEK),
        ("America/Sao_Paulo", at(23, 10.9), None),
        ("America/Sao_Paulo", at(23, 11), LAST_WEEK),
    ],
)
def test_it_is_due_on_monday_from_eight_where_the_business_is(
    acme: Integration, zone: str, now: float, due: date | None
) -> None:
    assert due_week(replace(acme, time_zone=zone), now) == due
    assert due is None or monday_somewhere(now)


def test_the_store_is_not_read_on_other_days() -> None:
    assert not any(monday_somewhere(at(day, hour)) for day in range(25, 29) for hour in range(24))
    assert monday_somewhere(at(22, 10))
    assert monday_somewhere(at(24, 11.9))
    assert not monday_somewhere(at(22, 9.9))


def test_it_is_in_the_language_of_the_instructions(acme: Integration, owned: Integration) -> None:
    assert language_for(owned) == "es"
    assert language_for(replace(acme, instructions="")) == "en"


def test_the_owner_gets_one_mail_and_one_message_whatever_is_restarted(
    redis: Redis, store: IntegrationStore, owned: Integration, mailbox: Mailbox, smtp_url: str
) -> None:
    hooks = Hooks()

    sent = []
    for _process in range(2):
        redis.delete(LOOK_KEY)
        sent.append(Mondays(redis, store, Mailer(smtp_url), hooks).look(at(23, 8.5)))

    assert sent == [2, 0]
    [mail] = mailbox.mails
    assert (mail["To"], mail["From"]) == ("owner@acme.com", "bot@example.com")
    assert "la semana del 2026-11-16 al 2026-11-22" in mail["Subject"]
    kinds = [part.get_content_type() for part in mail.iter_parts()]
    assert kinds == ["text/plain", "text/html"]
    [(url, body)] = hooks.got
    assert url == owned.owner_webhook_url
    assert body["week"]["conversations"] == 1  # type: ignore[index]


def test_what_was_refused_is_tried_again_an_hour_later(
    redis: Redis, store: IntegrationStore, owned: Integration, mailbox: Mailbox, smtp_url: str
) -> None:
    hooks, mailbox.refused = Hooks(), True
    hooks.away = True
    mondays = Mondays(redis, store, Mailer(smtp_url), hooks)

    assert mondays.send_due([owned], at(23, 8)) == 0
    mailbox.refused = hooks.away = False
    assert mondays.send_due([owned], at(23, 8)) == 0
    keys = redis.keys("kommo_bridge:week:*:mail") + redis.keys("kommo_bridge:week:*:webhook")
    assert [0 < redis.ttl(key) <= 3600 for key in keys] == [True, True]
    redis.delete(*keys)

    assert mondays.send_due([owned], at(23, 9.1)) == 2


@pytest.mark.parametrize(
    "changes",
    [{"enabled": False}, {"owner_email": "", "owner_webhook_url": ""}, {"subdomain": "quiet"}],
    ids=["switched off", "no owner", "nothing happened"],
)
def test_nobody_is_written_to_for_nothing(
    redis: Redis,
    store: IntegrationStore,
    owned: Integration,
    mailbox: Mailbox,
    smtp_url: str,
    changes: dict[str, object],
) -> None:
    integration = replace(owned, **changes)  # type: ignore[arg-type]

    assert Mondays(redis, store, Mailer(smtp_url), Hooks()).send_due([integration], at(23, 9)) == 0
    assert mailbox.mails == []


def test_without_a_mail_server_only_the_webhook_is_told(
    redis: Redis, store: IntegrationStore, owned: Integration
) -> None:
    hooks = Hooks()

    assert Mondays(redis, store, None, hooks).send_due([owned], at(23, 9)) == 1
    assert len(hooks.got) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_owners_webhook_cannot_reach_into_this_network(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        port = listening.getsockname()[1]

        with pytest.raises(AlertError, match=r"owner_webhook_url gave no answer"):
            post_publicly(f"https://{host}:{port}/x", {"text": "hi"})

        with pytest.raises(BlockingIOError):  # nobody has connected
            listening.accept()


class TestMailer:
    def test_a_wrong_password_is_told_without_it(self, smtp_url: str) -> None:
        with pytest.raises(AlertError) as raised:
            Mailer(smtp_url.replace("p%40ss", "wrong")).send("a@b.cd", "s", "t", "<p>t</p>")

        assert str(raised.value) == "SMTP_URL: the server refused user name or password."

    def test_a_server_that_is_away(self) -> None:
        with pytest.raises(AlertError, match=r"the server gave no answer \(ConnectionRefusedError"):
            Mailer("smtp://a%40b.cd:x@127.0.0.1:9").send("a@b.cd", "s", "t", "<p>t</p>")

    def test_a_server_that_does_not_speak_tls_gets_nothing(
        self, smtp_url: str, mailbox: Mailbox
    ) -> None:
        url = smtp_url.replace("smtp://", "smtps://")

        with pytest.raises(AlertError) as raised:
            Mailer(url).send("a@b.cd", "s", "t", "<p>t</p>")

        assert ssl.SSLError.__name__ in str(raised.value)
        assert mailbox.mails == []

    def test_on_another_machine_nothing_leaves_in_the_clear(
        self, smtp_url: str, mailbox: Mailbox
    ) -> None:
        """`0.0.0.0` leads here too, and is no loopback address."""
        with pytest.raises(AlertError, match="offers no encryption"):
            Mailer(smtp_url.replace("127.0.0.1", "0.0.0.0")).send("a@b.cd", "s", "t", "<p>t</p>")

        assert mailbox.mails == []

    def test_the_sender_may_be_another(self, smtp_url: str, mailbox: Mailbox) -> None:
        Mailer(f"{smtp_url}?from=news@example.com").send("a@b.cd", "s", "t", "<p>t</p>")

        assert mailbox.mails[0]["From"] == "news@example.com"
