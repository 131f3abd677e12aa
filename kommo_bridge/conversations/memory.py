"""What was said before in a conversation, and whether a human has taken over.

A conversation is one integration and the entity of its signed token; nothing in one conversation
reaches another. Kept in Redis with a lifetime and a bounded size. Open requests belong to
`answers`.
"""

import json
import time
from dataclasses import asdict, dataclass, fields
from typing import Any

from redis import Redis

from kommo_bridge.conversations.keys import (
    ENTITY_TYPES,
    conversation_name,
    disclosed_key,
    integration_key,
    listing_key,
    no_text_key,
    open_key,
    pause_key,
    person_digest,
    staff_key,
    texts_key,
    turns_key,
)
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest

# How much history the AI gets, in characters; the oldest exchanges are left out first.
HISTORY_CHARACTERS = 12_000
# How much of Redis one conversation may take.
MAX_BYTES = 64 * 1024
MAX_EXCHANGE_PART_CHARACTERS = 4_000

# KEYS: exchanges, the integration's conversations. ARGV: job id, exchange, exchanges kept, bytes
# kept, lifetime in seconds, the entity (empty: not listed), now.
REMEMBER = """
local last = redis.call('LINDEX', KEYS[1], -1)
if last and cjson.decode(last)['job_id'] == ARGV[1] then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('LTRIM', KEYS[1], -ARGV[3], -1)
local size = 0
for _, one in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do size = size + #one end
while size > tonumber(ARGV[4]) do size = size - #redis.call('LPOP', KEYS[1]) end
redis.call('EXPIRE', KEYS[1], ARGV[5])
if ARGV[6] ~= '' then
    redis.call('ZADD', KEYS[2], ARGV[7], ARGV[6])
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[7] - ARGV[5])
    redis.call('EXPIRE', KEYS[2], ARGV[5])
end
return 1
"""


@dataclass(frozen=True)
class Exchange:
    """What a customer wrote and the reply; `at` in seconds since the epoch."""

    job_id: str
    customer: str
    reply: str
    at: float
    chat_id: str = ""


@dataclass(frozen=True)
class Pause:
    """A human has taken over: why, and for how many more seconds."""

    reason: str
    seconds: float


class Conversations:
    """Memory and pauses of all conversations."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._remember = redis.register_script(REMEMBER)

    def history(self, request: WidgetRequest, integration: Integration) -> list[Exchange]:
        """The last exchanges that fit into the AI's call, the oldest first.

        The person who writes is not signed: it can only narrow down the signed entity's exchanges.
        """
        if not integration.history:
            return []
        said = self.exchanges(conversation_name(request))
        own = [one for one in said if one.chat_id == request.person][-integration.history :]
        left = HISTORY_CHARACTERS
        found: list[Exchange] = []
        for exchange in reversed(own):
            left -= len(exchange.customer) + len(exchange.reply)
            if left < 0:
                break
            found.insert(0, exchange)
        return found

    def exchanges(self, name: str) -> list[Exchange]:
        """All that is kept of a conversation, the oldest first."""
        kept: list[Any] = self._redis.lrange(turns_key(name), 0, -1)
        return [_exchange(json.loads(one)) for one in kept]

    def remember(
        self, request: WidgetRequest, integration: Integration, customer: str, reply: str
    ) -> None:
        """Keep an exchange, only once however often this is called for the same request."""
        if not integration.history:
            return
        exchange = Exchange(
            request.job_id,
            customer[:MAX_EXCHANGE_PART_CHARACTERS],
            reply[:MAX_EXCHANGE_PART_CHARACTERS],
            time.time(),
            request.person,
        )
        # A chat at the terminal is no conversation of the account.
        listed = request.entity_type in ENTITY_TYPES.values()
        self._remember(
            keys=[turns_key(conversation_name(request)), listing_key(integration_key(request))],
            args=[
                request.job_id,
                json.dumps(asdict(exchange), ensure_ascii=False),
                integration.history,
                MAX_BYTES,
                integration.history_days * 86400,
                f"{request.entity_type}:{request.entity_id}" if listed else "",
                exchange.at,
            ],
        )

    def disclosed(self, request: WidgetRequest) -> bool:
        """Whether this person was told that an assistant answers."""
        told = disclosed_key(conversation_name(request))
        return bool(self._redis.sismember(told, person_digest(request.person)))

    def pause(self, name: str, hours: float, reason: str) -> None:
        """Leave this conversation to a human for that long."""
        self._redis.set(pause_key(name), reason, px=max(1, round(hours * 3_600_000)))

    def resume(self, name: str) -> bool:
        """End a pause; False when there was none."""
        return bool(self._redis.delete(pause_key(name)))

    def paused(self, name: str) -> Pause | None:
        """The pause of a conversation, or None."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.get(pause_key(name))
            pipeline.pttl(pause_key(name))
            reason, left = pipeline.execute()
        return Pause(reason.decode(), max(0, left) / 1000) if reason else None

    def forget(self, name: str) -> int:
        """Delete what is remembered; returns how many exchanges there were. A pause stays."""
        key = turns_key(name)
        with self._redis.pipeline() as pipeline:
            pipeline.llen(key)
            others = (texts_key, open_key, no_text_key, disclosed_key, staff_key)
            pipeline.delete(key, *(one(name) for one in others))
            integration, entity_type, entity_id = name.rsplit(":", 2)
            pipeline.zrem(listing_key(integration), f"{entity_type}:{entity_id}")
            return int(pipeline.execute()[0])


def _exchange(kept: dict[str, Any]) -> Exchange:
    """Fields of a newer version are ignored."""
    known = {item.name for item in fields(Exchange)}
    return Exchange(**{name: value for name, value in kept.items() if name in known})
