"""Which AI of an integration is asked first: the second one for five minutes after it stepped in.

Kept in Redis, not in each process: a first AI that is down costs one customer a third of the reply
deadline, and not one customer of every process (a plain `rq worker` has a process for each job).
"""

from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.conversations.keys import integration_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.redis_client import PREFIX

PREFERRED_SECONDS = 300


class Preferred:
    """What all processes know of it.

    Args:
        redis: None for a talk that nobody else takes part in: the first AI is asked first.
    """

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis

    def is_second(self, integration: Integration) -> bool:
        """Whether the second AI is asked first."""
        with suppress(RedisError):
            return bool(self._redis and self._redis.exists(_key(integration)))
        return False

    def prefer(self, integration: Integration, *, second: bool) -> None:
        """Ask the AI first that has just answered; a reply is never lost for this."""
        if self._redis is None:
            return
        with suppress(RedisError):
            if second:
                self._redis.set(_key(integration), "1", ex=PREFERRED_SECONDS)
            else:
                self._redis.delete(_key(integration))


def _key(integration: Integration) -> str:
    return f"{PREFIX}second_ai:{integration_key(integration)}"
