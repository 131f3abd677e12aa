"""Every kind of alert: what it says, and what to do about it.

Kinds that a process notes beside its work are named in `telemetry/incidents`; the others are what
`watch` finds by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kommo_bridge.english import listed
from kommo_bridge.telemetry.incidents import (
    ANSWERS_FAIL,
    BLOCKED_BY_KOMMO,
    CAP_REACHED,
    PAGES_FAIL,
    REFUSED_BY_AI,
    SECOND_AI,
    TOKEN_REFUSED,
)

QUEUE_IS_OLD = "queue_is_old"
ANSWERS_OVERDUE = "answers_overdue"
REQUESTS_REFUSED = "requests_refused"
REDIS_REFUSES = "redis_refuses"
TOKEN_EXPIRES = "token_expires"  # noqa: S105  the name of a kind

# Days before an access token ends at which an alert is sent; the doctor warns from the first on.
EXPIRY_STEPS_DAYS = (14, 3, 0)
NAMED = 5  # integrations that a message's text names; `concerns` names all


@dataclass(frozen=True)
class Kind:
    """What an alert of this kind says.

    Attributes:
        title: What is wrong, without a full stop.
        advice: What to do.
        reminds: Whether it is repeated each day as long as it lasts.
    """

    title: str
    advice: str
    reminds: bool = True


KINDS = {
    ANSWERS_FAIL: Kind(
        "Answers fail in a row",
        "Customers get the fallback sentence. flask integrations check NAME shows the cause.",
    ),
    QUEUE_IS_OLD: Kind(
        "The oldest queued job is older than a minute",
        "No worker is alive, or too few are. Look at /readyz and at the worker's log.",
    ),
    ANSWERS_OVERDUE: Kind(
        "Answers are a minute beyond their deadline",
        "Salesbots wait without a word. Look at /readyz, the worker's log and /rq/.",
    ),
    REQUESTS_REFUSED: Kind(
        "Widget requests of a known account are refused again and again",
        "Has its secret or subdomain changed? The log names each reason. (Anybody can send those "
        "with invalid_token: they are not verified.)",
    ),
    REDIS_REFUSES: Kind(
        "Redis refuses writes",
        "Every widget request is answered 503. Is it full, a replica, or a cluster? "
        "flask integrations check NAME shows more.",
    ),
    TOKEN_EXPIRES: Kind(
        "An access token expires soon",
        "Make a new long-lived token in Kommo, then: flask integrations set NAME access_token=...",
        reminds=False,
    ),
    TOKEN_REFUSED: Kind(
        "Kommo refuses an access token",
        "No Salesbot of it can be continued. Make a new long-lived token in Kommo, then: "
        "flask integrations set NAME access_token=... and flask integrations requeue NAME",
    ),
    CAP_REACHED: Kind(
        "A cap is reached",
        "Every customer of it is handed over, until the next day or month begins (UTC). "
        "flask usage NAME shows which; flask integrations set NAME tokens_per_day=... raises it.",
    ),
    BLOCKED_BY_KOMMO: Kind(
        "Kommo may block our address (403 after 429)",
        "The account waits three minutes; if a second account is refused too, all wait, and one "
        "call a minute finds out when it has ended. If it comes back, write to Kommo's support.",
    ),
    SECOND_AI: Kind(
        "The second AI answers in place of the first",
        "The first one fails, is slow, or its quota is used up. flask integrations check NAME asks "
        "both.",
    ),
    PAGES_FAIL: Kind(
        "A page that the assistant knows cannot be read for three days",
        "It answers with what the page said. flask knowledge list NAME shows which, and why.",
        reminds=False,
    ),
    REFUSED_BY_AI: Kind(
        "The AI refuses permanently",
        "Key, quota or model: flask integrations check NAME shows which.",
    ),
}


def alert_message(name: str, subjects: Mapping[str, str]) -> dict[str, object]:
    """What is posted; `text` is what Slack, Mattermost and the like show.

    Args:
        subjects: Who is concerned, with a description each.
    """
    kind = KINDS[name]
    concerns = list(dict.fromkeys(subjects.values()))
    text = f"kommo_bridge: {kind.title}: {listed(concerns, NAMED)}. {kind.advice}"
    return {"text": text, "kind": name, "state": "alert", "concerns": concerns}


def resolved_message(name: str, subjects: tuple[str, ...]) -> dict[str, object]:
    """The same when it is over, for those whom the last alert named."""
    names = (subject.partition(" ")[0] for subject in subjects)
    concerns = list(dict.fromkeys(filter(None, names)))
    whom = f": {listed(concerns, NAMED)}" if concerns else ""
    text = f"kommo_bridge: resolved: {KINDS[name].title}{whom}."
    return {"text": text, "kind": name, "state": "resolved", "concerns": concerns}
