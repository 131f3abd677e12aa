"""Our own part: the integration, the running web process, the widget that speaks to it."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus

import requests
from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.errors import ArchiveError
from kommo_bridge.monitoring.check import Context, Finding
from kommo_bridge.outgoing.requests_session import limited_session
from kommo_bridge.outgoing.total_limit import total_limit
from kommo_bridge.queue.state import last_widget_version
from kommo_bridge.redis_client import connect
from kommo_bridge.widget.build import SHARED_WIDGET, WIDGET_REQUEST_PATH, source_version

OWN_TIMEOUT_SECONDS = 5
OWN_RESPONSE_BYTES = 64 * 1024
# Refused for this return URL: the web process knows it, and neither warns of it nor counts it.
PROBE_RETURN_URL = "https://kommo.invalid/"


def check_enabled(context: Context) -> Iterator[Finding]:
    if context.integration.enabled:
        yield Finding("integration", "ok", f"{context.integration.host}, enabled")
    else:
        name = context.integration.subdomain
        yield Finding("integration", "fault", f"disabled: flask integrations enable {name}")


def check_public_url(context: Context) -> Iterator[Finding]:
    url = context.settings.public_url
    if not url:
        yield Finding(
            "public URL", "warning", "PUBLIC_URL is not set: Kommo needs an https address"
        )
        return
    try:
        response = _call_ourselves("GET", f"{url}/healthz")
    except (requests.RequestException, OSError) as error:
        reason = f"{url} cannot be reached from here ({type(error).__name__}): is it running?"
        yield Finding("public URL", "fault", reason)
        return
    if response.status_code != HTTPStatus.OK:
        yield Finding(
            "public URL", "fault", f"{url}/healthz answers {response.status_code}, not 200"
        )
    elif not url.startswith("https://"):
        yield Finding("public URL", "warning", f"{url} is not https: Kommo cannot use it")
    else:
        yield Finding("public URL", "ok", f"{url} answers over https")


def check_secret(context: Context) -> Iterator[Finding]:
    """A signed request that is refused for its return URL only: nothing is queued."""
    body = {"token": context.token, "data[message]": "", "return_url": PROBE_RETURN_URL}
    try:
        response = _call_ourselves("POST", context.own_url + WIDGET_REQUEST_PATH, body)
        code = response.json().get("error")
    except (requests.RequestException, OSError, ValueError, AttributeError):
        text = f"no bridge answers at {context.own_url}: start it, or set PUBLIC_URL or PORT"
        yield Finding("secret", "fault", text)
        return
    if code == "invalid_return_url":
        text = "a token signed with it is accepted (whether Kommo has the same, a request shows)"
        yield Finding("secret", "ok", text)
    else:
        yield Finding("secret", "fault", _refusal_advice(context, response.status_code, code))


def _call_ourselves(
    method: str, url: str, body: Mapping[str, str] | None = None
) -> requests.Response:
    """One call to the bridge's own address, past any proxy or netrc of the environment."""
    with limited_session() as session, total_limit(OWN_TIMEOUT_SECONDS, OWN_RESPONSE_BYTES):
        return session.request(
            method, url, data=body, timeout=OWN_TIMEOUT_SECONDS, allow_redirects=False
        )


def _refusal_advice(context: Context, status: int, code: object) -> str:
    if code != "invalid_token":
        return f"{context.own_url} answers {status}, not how the bridge answers: is it there?"
    if not context.integration.enabled:
        return "cannot be tried while the integration is disabled"
    return (
        "the running bridge refuses it (invalid_token): does it use the same store and "
        "SECRET_KEY as this command?"
    )


def check_widget(context: Context) -> Iterator[Finding]:
    try:
        here = source_version(SHARED_WIDGET)
        seen = _seen_version(context)
    except (RedisError, ArchiveError) as error:
        yield Finding("widget", "warning", f"cannot be compared ({type(error).__name__})")
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


def _seen_version(context: Context) -> str:
    redis: Redis
    with connect(context.settings.redis_url, timeout_seconds=OWN_TIMEOUT_SECONDS) as redis:
        return last_widget_version(redis, context.integration)
