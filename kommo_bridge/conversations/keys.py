"""The names of integrations and conversations, and every Redis key of a conversation.

A conversation is one integration and the entity of its signed token; nothing in one conversation
reaches another.
"""

from hashlib import sha256

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.redis_client import PREFIX

# What staff are to be told on the lead: job id -> seconds since the epoch.
STAFF_OPEN_KEY = f"{PREFIX}staff:open"
ENTITY_TYPES = {"lead": "2", "contact": "1", "customer": "12"}


def integration_key(of: WidgetRequest | Integration) -> str:
    """`integration-id:subdomain`, for what Redis counts per integration."""
    return f"{of.integration_id}:{of.subdomain}"


def integration_name(of: WidgetRequest | Integration) -> str:
    """`subdomain/integration-id`, the NAME that commands accept."""
    return f"{of.subdomain}/{of.integration_id}"


def conversation_name(request: WidgetRequest) -> str:
    """Integration and signed entity."""
    return f"{integration_key(request)}:{request.entity_type}:{request.entity_id}"


def entity_name(integration: Integration, entity_type: str, entity_id: int) -> str:
    """The name of an entity's conversation; `entity_type` as in the token, such as "2"."""
    return f"{integration_key(integration)}:{entity_type}:{entity_id}"


def person_digest(person: str) -> str:
    """A person as part of a key: a digest, because the request's own value may hold anything."""
    return sha256(person.encode()).hexdigest()[:16] if person else ""


def turns_key(name: str) -> str:
    """The Redis key of the remembered exchanges."""
    return f"{_key(name)}:turns"


def listing_key(integration: str) -> str:
    """The Redis key of an integration's conversations; `integration` is its `integration_key`."""
    return f"{PREFIX}conversations:{integration}"


def texts_key(name: str) -> str:
    """The Redis key of the texts that are not answered yet."""
    return f"{_key(name)}:texts"


def pause_key(name: str) -> str:
    """The Redis key of a pause."""
    return f"{_key(name)}:pause"


def no_text_key(name: str, person: str = "") -> str:
    """The Redis key that is set while a person was lately asked to write instead of speak."""
    return f"{_key(name)}:no_text:{person}" if person else f"{_key(name)}:no_text"


def disclosed_key(name: str) -> str:
    """The Redis key of the persons (`person_digest`) who were told that an assistant answers."""
    return f"{_key(name)}:disclosed"


def tagged_key(name: str) -> str:
    """The Redis key that remembers whether the lead has the pause tag."""
    return f"{_key(name)}:tagged"


def staff_key(name: str) -> str:
    """The Redis key of what staff are to be told on the lead."""
    return f"{_key(name)}:staff"


def turn_key(name: str) -> str:
    """The Redis key of the lock on a conversation."""
    return f"{_key(name)}:turn"


def open_key(name: str) -> str:
    """The Redis key of the turns under way, by person."""
    return f"{_key(name)}:open"


def hour_key(name: str) -> str:
    """The Redis key that counts a conversation's replies in an hour."""
    return f"{PREFIX}usage:hour:{name}"


def period_key(integration: Integration, period: str) -> str:
    """The Redis key of an integration's counters; `period` is `2026-01-31` or `2026-01`."""
    return f"{PREFIX}usage:{integration_key(integration)}:{period}"


def day_prefix(integration: Integration) -> str:
    """What stands before the date in the Redis key of a day's counters."""
    return f"{PREFIX}day:{integration_key(integration)}:"


def visit_key(name: str) -> str:
    """The Redis key of a conversation's last visit: its day, and whether it was answered alone."""
    return f"{_key(name)}:visit"


def _key(name: str) -> str:
    return f"{PREFIX}conversation:{name}"
