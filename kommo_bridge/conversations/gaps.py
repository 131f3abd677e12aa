"""Gaps: questions of customers that nothing given answers, until somebody deals with them.

They are kept in Redis for 30 days after they were last asked, and not in the integration store:
they are noted while a customer waits, which must cost no write to the store, end by themselves,
and losing them costs nothing but a list to work through.
"""

import logging
import re
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.conversations.keys import integration_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.telemetry.logs import log_event

KEPT_SECONDS = 30 * 86400
MAX_CHARACTERS = 120
# Of one integration; the ones that were asked the longest ago give way.
MOST = 500

logger = logging.getLogger(__name__)

# A gap keeps its number as long as it lives, so that a list may be worked through.
NOTE = """
local words, said, now, kept, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
if redis.call('hsetnx', KEYS[2], words, said) == 1 then
    redis.call('hset', KEYS[3], words, redis.call('incr', KEYS[5]))
end
redis.call('hincrby', KEYS[4], words, 1)
redis.call('zadd', KEYS[1], now, words)
local old = redis.call('zrangebyscore', KEYS[1], '-inf', now - kept)
local many = redis.call('zrange', KEYS[1], 0, -1 - most)
for _, some in ipairs({old, many}) do
    for _, one in ipairs(some) do
        redis.call('zrem', KEYS[1], one)
        for place = 2, 4 do redis.call('hdel', KEYS[place], one) end
    end
end
for place = 1, 5 do redis.call('expire', KEYS[place], kept) end
"""


@dataclass(frozen=True)
class Gap:
    """One question.

    Attributes:
        number: Names it in commands.
        question: As it was first asked.
        count: How often it was asked.
        at: When it was last asked (seconds since the epoch).
    """

    number: int
    question: str
    count: int
    at: float


def normalised(question: str) -> str:
    """What two wordings of one question share: letters and digits, without case."""
    return " ".join(re.findall(r"\w+", question.casefold()))


class Gaps:
    """The gaps of all integrations."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._note = redis.register_script(NOTE)

    def note(self, integration: Integration, question: str, now: float) -> None:
        """Count a question, at most `MAX_CHARACTERS` of it; one without words is not kept.

        An unreachable Redis is logged: the reply that goes with it matters more.
        """
        said = " ".join(question.split())[:MAX_CHARACTERS]
        words = normalised(said)
        if not words:
            return
        try:
            self._note(keys=_keys(integration), args=[words, said, int(now), KEPT_SECONDS, MOST])
        except RedisError as error:
            log_event(logger, "gap not noted", error=type(error).__name__)

    def list(self, integration: Integration, now: float) -> list[Gap]:
        """Those of the last 30 days, the most often asked first, then the latest."""
        when, said, numbers, counts, _ = _keys(integration)
        with self._redis.pipeline() as pipeline:
            pipeline.zrangebyscore(when, now - KEPT_SECONDS, "+inf", withscores=True)
            for key in (said, numbers, counts):
                pipeline.hgetall(key)
            found: Any = pipeline.execute()
        asked, texts, names, counted = found
        gaps = [
            Gap(int(names[words]), texts[words].decode(), int(counted[words]), at)
            for words, at in asked
        ]
        return sorted(gaps, key=lambda gap: (-gap.count, -gap.at))

    def done(self, integration: Integration, number: int) -> bool:
        """Forget one; False when there is none with this number."""
        when, said, numbers, counts, _ = _keys(integration)
        kept: dict[bytes, bytes] = self._redis.hgetall(numbers)  # type: ignore[assignment]
        words = next((words for words, one in kept.items() if int(one) == number), None)
        if words is None:
            return False
        with self._redis.pipeline() as pipeline:
            pipeline.zrem(when, words)
            for key in (said, numbers, counts):
                pipeline.hdel(key, words)
            pipeline.execute()
        return True


def _keys(integration: Integration) -> list[str]:
    """When each was asked, as what, its number, how often; and the last number given."""
    key = f"{PREFIX}gaps:{integration_key(integration)}"
    return [key, f"{key}:said", f"{key}:numbers", f"{key}:counts", f"{key}:last"]
