"""Errands: what the console asks a worker to do. The web process calls neither Kommo nor an AI.

Each is an ordinary job of our queue, and soon forgotten, with its result. Which integration it is
for stands in its payload: nobody else learns its result.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from redis import Redis
from rq import Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from kommo_bridge.conversations.keys import integration_key
from kommo_bridge.errors import ErrandRefused
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.queue.state import work_queue
from kommo_bridge.redis_client import PREFIX

EXAMINE = "kommo_bridge.errands.examine_account"
MAKE_BOT = "kommo_bridge.errands.make_bot"
ANSWER = "kommo_bridge.errands.answer"
ADD_PAGE = "kommo_bridge.errands.add_page"
ADD_FILE = "kommo_bridge.errands.add_file"
SAVE_SCENARIOS = "kommo_bridge.errands.save_scenarios"
RUN_SCENARIOS = "kommo_bridge.errands.run_scenarios"
FUNCTIONS = (EXAMINE, MAKE_BOT, ANSWER, ADD_PAGE, ADD_FILE, SAVE_SCENARIOS, RUN_SCENARIOS)

NUMBER = re.compile(r"errand-[0-9a-f]{32}")

# Longer than the AI may take for a reply; a step of tests is a conversation and its last reply.
LONGEST_SECONDS = 180
STEP_SECONDS = 600
# Nobody looks any more at what was not begun by then.
WAITING_SECONDS = 60
KEPT_SECONDS = 900
# Between two steps customers come first.
STEP_WAITING_SECONDS = 600
MOST_STEPS = 10_000
# Of one integration: an errand may cost calls to Kommo, or money.
MOST_A_MINUTE = 20

State = Literal["waiting", "done", "failed"]


@dataclass(frozen=True)
class Errand:
    """How far one has come; `asked` is its payload, `result` what its function returned."""

    state: State
    asked: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None


class Errands:
    """Errands in Redis. All methods raise RedisError when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def ask(self, function: str, integration: Integration, **values: str) -> str:
        """Hand one over; returns its number.

        Raises:
            ErrandRefused: There were many within the last minute.
        """
        self._count(integration)
        number = f"errand-{secrets.token_hex(16)}"
        payload = {
            "request_id": number[-16:],
            "subdomain": integration.subdomain,
            "integration_id": integration.integration_id,
            **values,
        }
        in_steps = function == RUN_SCENARIOS
        work_queue(self._redis).enqueue_call(
            function,
            args=(payload,),
            timeout=STEP_SECONDS if in_steps else LONGEST_SECONDS,
            ttl=STEP_WAITING_SECONDS if in_steps else WAITING_SECONDS,
            result_ttl=KEPT_SECONDS,
            failure_ttl=KEPT_SECONDS,
            job_id=number,
            description=f"{function.rpartition('.')[2]} {integration.subdomain}",
        )
        return number

    def lend(self, data: bytes) -> str:
        """Keep a file for an errand, for as long as one may wait; returns its key."""
        key = f"{PREFIX}console:file:{secrets.token_hex(16)}"
        self._redis.set(key, data, ex=WAITING_SECONDS + LONGEST_SECONDS)
        return key

    def look(self, number: str, integration: Integration, *functions: str) -> Errand:
        """How far it has come. One that is not there, or another integration's, has failed.

        Args:
            functions: Those that the page knows; one of another function has failed too.
        """
        if not NUMBER.fullmatch(number):  # an address may name anything, even an answer's job
            return Errand("failed")
        try:
            job = Job.fetch(number, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return Errand("failed")
        if job.func_name not in (functions or FUNCTIONS):
            return Errand("failed")
        payload = job.args[0]
        whose = (payload.get("integration_id"), payload.get("subdomain"))
        if whose != (integration.integration_id, integration.subdomain):
            return Errand("failed")
        status = job.get_status(refresh=False)
        if status == JobStatus.FINISHED:
            return Errand("done", payload, job.return_value())
        is_over = status in (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)
        return Errand("failed" if is_over else "waiting", payload)

    def _count(self, integration: Integration) -> None:
        key = f"{PREFIX}console:errands:{integration_key(integration)}"
        with self._redis.pipeline() as pipeline:
            pipeline.set(key, 0, nx=True, ex=60)
            pipeline.incr(key)
            count = pipeline.execute()[1]
        if count > MOST_A_MINUTE:
            raise ErrandRefused("That was asked many times within a minute. Please wait a little.")


def go_on() -> Retry:
    """What an errand returns that has another step: it goes to the end of the queue."""
    return Retry(MOST_STEPS, interval=0)
