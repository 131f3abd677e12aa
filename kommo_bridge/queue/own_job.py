"""What the worker runs: only our own functions, whatever else is queued in Redis.

Anyone who can write to Redis can queue any function with any arguments, and RQ would call it in a
process whose environment holds our secrets. It would also run a job's callbacks and webhooks.
"""

import logging
from collections.abc import Collection
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job

from kommo_bridge.telemetry.logs import log_event

logger = logging.getLogger(__name__)


class OwnJob(Job):
    """A job as our worker reads it: without callbacks and webhooks."""

    def restore(self, raw_data: Any) -> None:
        """Read the stored form."""
        super().restore(raw_data)
        self._success_callback_name = None
        self._failure_callback_name = None
        self._stopped_callback_name = None
        self.webhooks = []

    @classmethod
    def fetch(
        cls,
        id: str,  # noqa: A002
        connection: Redis | None = None,
        serializer: Any = None,
    ) -> Job:
        """Read a job; one that cannot be read is deleted, and the sweep does its work.

        Raises:
            NoSuchJobError: There is none, or none that can be read.
        """
        try:
            return super().fetch(id, connection=connection, serializer=serializer)
        except (NoSuchJobError, RedisError):
            raise
        except Exception as error:
            kind = type(error).__name__
            log_event(logger, "unreadable job dropped", level=logging.ERROR, job=id, error=kind)
            if connection:
                connection.delete(cls.key_for(id))
            raise NoSuchJobError(f"unreadable: {id}") from error


def whose(job: Job) -> tuple[str, str]:
    """Request id and subdomain of a job of ours, for the log; empty where they cannot be read."""
    try:
        payload = job.args[0]
        return str(payload["request_id"]), str(payload["subdomain"])
    except (DeserializationError, LookupError, TypeError):
        return "", ""


def foreign_function(job: Job, functions: Collection[str]) -> str | None:
    """What the job would call, unless that is one of `functions`."""
    try:
        name, instance = job.func_name, job.instance
    except DeserializationError:
        return "unreadable"
    return None if name in list(functions) and instance is None else str(name)
