"""Which conversations an integration has had, the newest first.

One sorted set per integration, kept by the script that remembers an exchange: looking for the keys
of conversations themselves would read all of Redis.
"""

import json
from dataclasses import dataclass
from typing import Any

from redis import Redis

from kommo_bridge.conversations.keys import (
    ENTITY_TYPES,
    entity_name,
    integration_key,
    listing_key,
    pause_key,
    turns_key,
)
from kommo_bridge.conversations.memory import Pause
from kommo_bridge.integrations.integration import Integration

TYPE_NAMES = {number: name for name, number in ENTITY_TYPES.items()}


@dataclass(frozen=True)
class Listed:
    """One conversation.

    Attributes:
        entity_type: `lead`, `contact` or `customer`.
        at: When the newest exchange was remembered, in seconds since the epoch.
        customer, reply: That exchange; empty when it has been forgotten.
        pause: The pause, if a human has it.
    """

    entity_type: str
    entity_id: int
    at: float
    customer: str
    reply: str
    pause: Pause | None


class Newest:
    """The lists of all integrations."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def count(self, integration: Integration) -> int:
        """How many there are."""
        return int(self._redis.zcard(listing_key(integration_key(integration))))

    def some(self, integration: Integration, skip: int, count: int) -> list[Listed]:
        """Some of them, after leaving out so many newer ones."""
        found: list[Any] = self._redis.zrevrange(
            listing_key(integration_key(integration)), skip, skip + count - 1, withscores=True
        )
        entities = [_entity(member.decode(), at) for member, at in found]
        names = [entity_name(integration, kind, int(number)) for kind, number, _ in entities]
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.lindex(turns_key(name), -1)
                pipeline.get(pause_key(name))
                pipeline.pttl(pause_key(name))
            kept: list[Any] = pipeline.execute()
        return [
            _listed(entity, *kept[3 * index : 3 * index + 3])
            for index, entity in enumerate(entities)
        ]


def _entity(member: str, at: float) -> tuple[str, str, float]:
    kind, _, number = member.partition(":")
    return kind, number, at


def _listed(
    entity: tuple[str, str, float], last: bytes | None, reason: bytes | None, left: int
) -> Listed:
    kind, number, at = entity
    said: dict[str, Any] = json.loads(last) if last else {}
    return Listed(
        entity_type=TYPE_NAMES[kind],
        entity_id=int(number),
        at=at,
        customer=said.get("customer", ""),
        reply=said.get("reply", ""),
        pause=Pause(reason.decode(), max(0, left) / 1000) if reason else None,
    )
