"""Which conversations of an integration are remembered: for lists, exports and replays."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis

from kommo_bridge.conversations.keys import ENTITY_TYPES, integration_key, texts_key, turns_key
from kommo_bridge.conversations.memory import Conversations, Exchange, Pause
from kommo_bridge.integrations.integration import Integration

TYPE_NAMES = {code: name for name, code in ENTITY_TYPES.items()}
SCAN_COUNT = 1000
# What a pattern of Redis would read as one.
SPECIAL = re.compile(r"([*?\[\]\\^-])")


@dataclass(frozen=True)
class Remembered:
    """One conversation.

    Attributes:
        name: As `entity_name` has it.
        entity_type, entity_id: `lead`, `contact` or `customer`, and its number.
        said: Its exchanges, the oldest first; at least one.
        pause: A human has it.
        waiting: What customers wrote that is not answered yet.
    """

    name: str
    entity_type: str
    entity_id: int
    said: tuple[Exchange, ...]
    pause: Pause | None
    waiting: tuple[str, ...] = ()

    @property
    def at(self) -> float:
        """When it was last answered, in seconds since the epoch."""
        return self.said[-1].at if self.said else 0.0


def remembered(redis: Redis, integration: Integration) -> list[Remembered]:
    """All conversations of an integration of which something is kept, the newest first."""
    conversations = Conversations(redis)
    found = [_read(redis, conversations, name) for name in sorted(_names(redis, integration))]
    return sorted((one for one in found if one.said or one.waiting), key=lambda one: -one.at)


def one_remembered(redis: Redis, name: str) -> Remembered:
    """What is kept of one conversation."""
    return _read(redis, Conversations(redis), name)


def _names(redis: Redis, integration: Integration) -> set[str]:
    """The conversations that have a key with exchanges or texts."""
    prefix = integration_key(integration)
    found: set[str] = set()
    for key_of in (turns_key, texts_key):
        begin, end = key_of(prefix + ":\0").split("\0")
        pattern = SPECIAL.sub(r"\\\1", begin) + "*" + end
        for key in redis.scan_iter(pattern, count=SCAN_COUNT):
            entity = key.decode()[len(begin) : -len(end)]
            if re.fullmatch(r"\w+:\d+", entity):
                found.add(f"{prefix}:{entity}")
    return found


def _read(redis: Redis, conversations: Conversations, name: str) -> Remembered:
    entity_type, entity_id = name.rsplit(":", 2)[1:]
    return Remembered(
        name=name,
        entity_type=TYPE_NAMES.get(entity_type, entity_type),
        entity_id=int(entity_id),
        said=tuple(conversations.exchanges(name)),
        pause=conversations.paused(name),
        waiting=tuple(_waiting(redis, name)),
    )


def _waiting(redis: Redis, name: str) -> Iterator[str]:
    """The texts of `answers.record`: a number, a bar, and an object with the text."""
    kept: dict[Any, Any] = redis.hgetall(texts_key(name))
    for value in sorted(kept.values()):
        text = json.loads(value.partition(b"|")[2]).get("text", "")
        if text:
            yield text
