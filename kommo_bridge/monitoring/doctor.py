"""`flask integrations check`: what works, what does not, and what to do about it.

Each check is a small function that yields findings; one that cannot be made is told as such. No
secret is ever printed. Asks real partners: our own web process, Kommo, the AI, Redis.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Literal

import requests
from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.ai.prompt import HARMLESS
from kommo_bridge.errors import ArchiveError, AssistantError, KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.results import AccountAnswer
from kommo_bridge.kommo.tokens import days_left
from kommo_bridge.outgoing.requests_session import limited_session
from kommo_bridge.outgoing.total_limit import total_limit
from kommo_bridge.queue.state import last_widget_version, live_workers, work_queue
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings, is_loopback
from kommo_bridge.widget.build import SHARED_WIDGET, source_version

State = Literal["ok", "warning", "fault"]

EXPIRY_WARNING_DAYS = 14
SKEW_WARNING_SECONDS = 30
SKEW_FAULT_SECONDS = 60
OWN_TIMEOUT_SECONDS = 5
OWN_ANSWER_BYTES = 64 * 1024
AI_SECONDS = 30.0
REQUEST_PATH = "/api/kommo/kommo/widget-request"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and what to do."""

    subject: str
    state: State
    text: str


@dataclass(frozen=True)
class Patient:
    """What the checks look at. `token` is a signed test token."""

    integration: Integration
    settings: Settings
    token: str
    own_url: str


def examine(integration: Integration, settings: Settings, token: str) -> Iterator[Finding]:
    """All findings about one integration, one check after another."""
    own_url = settings.public_url or f"http://127.0.0.1:{settings.port}"
    patient = Patient(integration, settings, token, own_url)
    checks: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
        _enabled,
        _public_url,
        _secret,
        _queue,
        _widget,
        _kommo,
        _ai,
    )
    for check in checks:
        yield from check(patient)


def _enabled(it: Patient) -> Iterator[Finding]:
    if it.integration.enabled:
        yield Finding("integration", "ok", f"{it.integration.host}, enabled")
    else:
        name = it.integration.subdomain
        yield Finding("integration", "fault", f"disabled: flask integrations enable {name}")


def _public_url(it: Patient) -> Iterator[Finding]:
    url = it.settings.public_url
    if not url:
        yield Finding(
            "public URL", "warning", "PUBLIC_URL is not set: Kommo needs an https address"
        )
        return
    try:
        answer = _call_ourselves("GET", f"{url}/healthz")
    except (requests.RequestException, OSError) as error:
        reason = f"{url} cannot be reached from here ({type(error).__name__}): is it running?"
        yield Finding("public URL", "fault", reason)
        return
    if answer.status_code != HTTPStatus.OK:
        yield Finding("public URL", "fault", f"{url}/healthz answers {answer.status_code}, not 200")
    elif not url.startswith("https://"):
        yield Finding("public URL", "warning", f"{url} is not https: Kommo cannot use it")
    else:
        yield Finding("public URL", "ok", f"{url} answers over https")


def _secret(it: Patient) -> Iterator[Finding]:
    """A signed request that is refused for its return URL only: nothing is queued."""
    body = {"token": it.token, "data[message]": "", "return_url": "https://kommo.invalid/"}
    try:
        answer = _call_ourselves("POST", it.own_url + REQUEST_PATH, body)
        code = answer.json().get("error")
    except (requests.RequestException, OSError, ValueError, AttributeError):
        text = f"the bridge does not answer at {it.own_url}: start it, or set PUBLIC_URL or PORT"
        yield Finding("secret", "fault", text)
        return
    if code == "invalid_return_url":
        text = "a token signed with it is accepted (whether Kommo has the same, a request shows)"
        yield Finding("secret", "ok", text)
    else:
        yield Finding("secret", "fault", _refusal_advice(it, answer.status_code, code))


def _call_ourselves(
    method: str, url: str, body: Mapping[str, str] | None = None
) -> requests.Response:
    """One call to the bridge's own address, past any proxy or netrc of the environment."""
    with limited_session() as session, total_limit(OWN_TIMEOUT_SECONDS, OWN_ANSWER_BYTES):
        return session.request(
            method, url, data=body, timeout=OWN_TIMEOUT_SECONDS, allow_redirects=False
        )


def _refusal_advice(it: Patient, status: int, code: object) -> str:
    if code != "invalid_token":
        return f"{it.own_url} answers {status}, which is not how the bridge answers: is it there?"
    if not it.integration.enabled:
        return "cannot be tried while the integration is disabled"
    return (
        "the running bridge refuses it (invalid_token): does it use the same DATABASE_PATH and "
        "SECRET_KEY as this command?"
    )


def _queue(it: Patient) -> Iterator[Finding]:
    try:
        with connect(it.settings.redis_url, timeout_seconds=OWN_TIMEOUT_SECONDS) as redis:
            workers = live_workers(work_queue(redis))
    except RedisError as error:
        text = f"cannot be reached ({type(error).__name__}): check REDIS_URL"
        yield Finding("Redis", "fault", text)
        return
    yield Finding("Redis", "ok", "answers")
    if workers:
        yield Finding("workers", "ok", f"{workers} alive")
    else:
        yield Finding("workers", "fault", "none is alive: start one with python worker.py")


def _widget(it: Patient) -> Iterator[Finding]:
    try:
        here = source_version(SHARED_WIDGET)
        seen = _seen_version(it)
    except (RedisError, ArchiveError) as error:
        yield Finding("widget", "warning", f"cannot be told ({type(error).__name__})")
        return
    if not seen:
        text = "no request of our widget has arrived yet: place its block in a bot and write to it"
        yield Finding("widget", "warning", text)
    elif seen == here:
        yield Finding("widget", "ok", f"version {seen}, the one built here")
    else:
        text = (
            f"version {seen} spoke last, {here} is built here: upload it, then remove and add "
            "the block again in each bot"
        )
        yield Finding("widget", "warning", text)


def _seen_version(it: Patient) -> str:
    redis: Redis
    with connect(it.settings.redis_url, timeout_seconds=OWN_TIMEOUT_SECONDS) as redis:
        return last_widget_version(redis, it.integration)


def _kommo(it: Patient) -> Iterator[Finding]:
    if not it.integration.access_token:
        name = it.integration.subdomain
        text = f"none is stored: flask integrations set {name} access_token=..."
        yield Finding("access token", "fault", text)
        return
    yield from _expiry(it)
    base_url, stands_in = _kommo_url(it)
    if stands_in:
        text = f"KOMMO_EXTRA_HOSTS is set: asked {base_url} in place of {it.integration.host}"
        yield Finding("Kommo", "warning", text)
    redis = connect(it.settings.redis_url, timeout_seconds=OWN_TIMEOUT_SECONDS)
    client = KommoClient(Pacer(redis), it.settings.kommo_extra_hosts)
    try:
        answer = client.account(it.integration.host, it.integration.access_token, base_url=base_url)
    except KommoError as error:
        yield Finding("access token", "fault", _token_advice(error, it.integration))
        return
    except RedisError:
        yield Finding("access token", "warning", "not tried: the pace of calls is kept in Redis")
        return
    finally:
        client.close()
        redis.close()
    yield Finding("access token", "ok", "Kommo accepts it")
    yield _admin(answer)
    yield _identity(answer, it.integration)
    yield _clock(answer)


def _kommo_url(it: Patient) -> tuple[str, bool]:
    """The account's own host; a single extra host (a local stand-in) takes its place.

    The access token goes there: by plain http on this machine only, as in the continue call.
    """
    hosts = it.settings.kommo_extra_hosts
    if len(hosts) != 1:
        return f"https://{it.integration.host}", False
    host = min(hosts)
    scheme = "http" if is_loopback(host.rpartition(":")[0]) else "https"
    return f"{scheme}://{host}", True


def _token_advice(error: KommoError, integration: Integration) -> str:
    """What an operator does about each refusal; other errors are told as they are."""
    renew = f"flask integrations set {integration.subdomain} access_token=..."
    advice = {
        HTTPStatus.UNAUTHORIZED: f"Kommo refuses it (401): make a new long-lived token, {renew}",
        HTTPStatus.PAYMENT_REQUIRED: "the account is not paid for (402): renew its plan",
        HTTPStatus.FORBIDDEN: "Kommo refuses it (403): let an administrator make the token; if "
        "other integrations are refused too, Kommo blocks this server's address",
        HTTPStatus.NOT_FOUND: f"there is no account {integration.host} (404): check subdomain "
        "and domain",
    }
    found = next((text for status, text in advice.items() if status == error.status), None)
    return found or f"cannot be tried: {error}"


def _expiry(it: Patient) -> Iterator[Finding]:
    days = days_left(it.integration.access_token, time.time())
    if days is None:
        text = "it does not say when it ends (a long-lived token does)"
        yield Finding("token expiry", "warning", text)
        return
    if days <= 0:
        yield Finding("token expiry", "fault", f"ended {-days:.0f} days ago: make a new one")
    elif days < EXPIRY_WARNING_DAYS:
        yield Finding("token expiry", "warning", f"ends in {days:.0f} days: make a new one")
    else:
        yield Finding("token expiry", "ok", f"ends in {days:.0f} days")


def _admin(answer: AccountAnswer) -> Finding:
    if answer.is_admin is None:
        return Finding("rights", "warning", "Kommo does not tell whether it is an administrator's")
    if answer.is_admin:
        return Finding("rights", "ok", "an administrator's")
    return Finding("rights", "fault", "not an administrator's: Kommo will refuse to continue bots")


def _identity(answer: AccountAnswer, integration: Integration) -> Finding:
    name = integration.subdomain
    if answer.subdomain != name:
        text = f"the token belongs to another account: Kommo calls it {answer.subdomain!r}"
        return Finding("account", "fault", text)
    if integration.account_id is None:
        text = f"number {answer.account_id}; stored with the first request"
        return Finding("account", "ok", text)
    if answer.account_id != integration.account_id:
        text = (
            f"Kommo says number {answer.account_id}, stored is {integration.account_id}: flask "
            f"integrations set {name} account_id={answer.account_id}"
        )
        return Finding("account", "fault", text)
    return Finding("account", "ok", f"number {integration.account_id}, subdomain {name}")


def _clock(answer: AccountAnswer) -> Finding:
    try:
        skew = abs(parsedate_to_datetime(answer.date).timestamp() - answer.received_at)
    except (TypeError, ValueError):
        return Finding("clock", "warning", "Kommo's answer has no Date to compare with")
    text = f"{skew:.0f} s apart from Kommo's"
    if skew > SKEW_FAULT_SECONDS:
        return Finding("clock", "fault", f"{text}: tokens will be refused; set up time (NTP)")
    if skew > SKEW_WARNING_SECONDS:
        return Finding("clock", "warning", f"{text}: set up time (NTP)")
    return Finding("clock", "ok", text)


def _ai(it: Patient) -> Iterator[Finding]:
    settings = it.settings
    assistant = Assistant(
        api_key=settings.openai_api_key,
        base_url=settings.openai_base_url,
        model=settings.openai_model,
        timeout_seconds=settings.ai_timeout_seconds,
    )
    model = it.integration.model or settings.openai_model
    started = time.monotonic()
    try:
        assistant.reply(replace(it.integration, instructions=""), HARMLESS, seconds=AI_SECONDS)
    except AssistantError as error:
        yield Finding("AI", "fault", f"{error} (model {model}): check key, model and base URL")
    else:
        yield Finding("AI", "ok", f"{model} answers, {time.monotonic() - started:.1f} s")
    finally:
        assistant.close()
