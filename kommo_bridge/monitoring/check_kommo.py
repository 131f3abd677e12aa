"""Kommo: the access token, whose it is, and the clock."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from redis.exceptions import RedisError

from kommo_bridge.errors import KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.results import AccountAnswer
from kommo_bridge.kommo.return_url import base_url_of
from kommo_bridge.kommo.tokens import days_left, scopes
from kommo_bridge.monitoring.check import Context, Finding
from kommo_bridge.monitoring.kinds import EXPIRY_STEPS_DAYS
from kommo_bridge.redis_client import connect

REDIS_SECONDS = 5
SKEW_WARNING_SECONDS = 30
SKEW_FAULT_SECONDS = 60
# Needed for everything but the continue call.
CRM_SCOPE = "crm"


def check_kommo(context: Context) -> Iterator[Finding]:
    if not context.integration.access_token:
        name = context.integration.subdomain
        text = f"none is stored: flask integrations set {name} access_token=..."
        yield Finding("access token", "fault", text)
        return
    yield from _expiry(context)
    yield _scopes(context.integration)
    own, extra_hosts = context.integration.host, context.settings.kommo_extra_hosts
    base_url = base_url_of(own, extra_hosts)
    if base_url != f"https://{own}":
        text = f"KOMMO_EXTRA_HOSTS is set: asked {base_url} in place of {own}"
        yield Finding("Kommo", "warning", text)
    redis = connect(context.settings.redis_url, timeout_seconds=REDIS_SECONDS)
    client = KommoClient(Pacer(redis), extra_hosts)
    integration = context.integration
    try:
        seen = client.account(integration.host, integration.access_token, base_url=base_url)
    except KommoError as error:
        yield Finding("access token", "fault", token_advice(error, integration))
        return
    except RedisError:
        yield Finding("access token", "warning", "not tried: the pace of calls is kept in Redis")
        return
    finally:
        client.close()
        redis.close()
    yield Finding("access token", "ok", "Kommo accepts it")
    yield _admin(seen)
    yield _identity(seen, context.integration)
    yield _clock(seen)


def token_advice(error: KommoError, integration: Integration) -> str:
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


def _expiry(context: Context) -> Iterator[Finding]:
    days = days_left(context.integration.access_token, time.time())
    if days is None:
        text = "it does not say when it ends (a long-lived token does)"
        yield Finding("token expiry", "warning", text)
        return
    if days <= 0:
        yield Finding("token expiry", "fault", f"ended {-days:.0f} days ago: make a new one")
    elif days < EXPIRY_STEPS_DAYS[0]:
        yield Finding("token expiry", "warning", f"ends in {days:.0f} days: make a new one")
    else:
        yield Finding("token expiry", "ok", f"ends in {days:.0f} days")


def _scopes(integration: Integration) -> Finding:
    """What the token states that it may be used for: nothing is asked."""
    found = scopes(integration.access_token)
    if found is None:
        return Finding("scopes", "warning", "the token does not say what it may be used for")
    if CRM_SCOPE not in found:
        text = "no crm: Kommo will refuse notes, tasks and tags, and tell nothing of leads"
        return Finding("scopes", "fault", f"{text}; make a token with access to the CRM")
    return Finding("scopes", "ok", f"{', '.join(found)}: notes, tasks, tags and lead fields work")


def _admin(seen: AccountAnswer) -> Finding:
    if seen.is_admin is None:
        return Finding("rights", "warning", "Kommo does not tell whether it is an administrator's")
    if seen.is_admin:
        return Finding("rights", "ok", "an administrator's")
    return Finding("rights", "fault", "not an administrator's: Kommo will refuse to continue bots")


def _identity(seen: AccountAnswer, integration: Integration) -> Finding:
    name = integration.subdomain
    if seen.subdomain != name:
        text = f"the token belongs to another account: Kommo calls it {seen.subdomain!r}"
        return Finding("account", "fault", text)
    if integration.account_id is None:
        text = f"number {seen.account_id}; stored with the first request"
        return Finding("account", "ok", text)
    if seen.account_id != integration.account_id:
        text = (
            f"Kommo says number {seen.account_id}, stored is {integration.account_id}: flask "
            f"integrations set {name} account_id={seen.account_id}"
        )
        return Finding("account", "fault", text)
    return Finding("account", "ok", f"number {integration.account_id}, subdomain {name}")


def _clock(seen: AccountAnswer) -> Finding:
    try:
        skew = abs(parsedate_to_datetime(seen.date).timestamp() - seen.received_at)
    except (TypeError, ValueError):
        return Finding("clock", "warning", "Kommo's answer has no Date to compare with")
    text = f"{skew:.0f} s apart from Kommo's"
    if skew > SKEW_FAULT_SECONDS:
        return Finding("clock", "fault", f"{text}: tokens will be refused; set up time (NTP)")
    if skew > SKEW_WARNING_SECONDS:
        return Finding("clock", "warning", f"{text}: set up time (NTP)")
    return Finding("clock", "ok", text)
