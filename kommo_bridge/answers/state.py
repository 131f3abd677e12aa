"""Open conversations in Redis: read and changed in one round trip, by one worker at a time.

    state = states.of(request, integration, rules)
    view = state.look()                      # takes the conversation, if nobody else has it
    view = state.keep(Changes(...))          # only if this run still has it; returns what is now

`state.lua` is the one script behind both. All times are Redis' own: the clocks of web and workers
need not agree.
"""

import json
from pathlib import Path
from uuid import uuid4

from redis import Redis

from kommo_bridge.answers.changes import Changes, Command, commands_of
from kommo_bridge.answers.conversation import Rules
from kommo_bridge.answers.record import (
    OPEN_KEY,
    RECORD_PREFIX,
    kept_seconds,
    number_of,
    record_key,
    request_text,
    text_value,
)
from kommo_bridge.answers.retries import HOLD, TAKE_OVER_AFTER
from kommo_bridge.answers.view import View, read_view
from kommo_bridge.conversations import keys
from kommo_bridge.conversations.usage import period_keys
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest

SCRIPT = Path(__file__).with_suffix(".lua")
RELEASE = """
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class ConversationStates:
    """All open conversations."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.script = redis.register_script(SCRIPT.read_text(encoding="utf-8"))
        self.release = redis.register_script(RELEASE)
        self.held: dict[str, ConversationState] = {}

    def of(
        self,
        request: WidgetRequest,
        integration: Integration,
        rules: Rules,
        *,
        by_sweep: bool = False,
    ) -> "ConversationState":
        """The conversation that a request belongs to, for its job or for the sweep."""
        return ConversationState(self, request, integration, rules, by_sweep=by_sweep)

    def release_all(self) -> None:
        """Let other workers have all that this process works on: it is about to end."""
        for state in list(self.held.values()):
            state.release()


class ConversationState:
    """One conversation, as one run of a job sees it."""

    def __init__(
        self,
        states: ConversationStates,
        request: WidgetRequest,
        integration: Integration,
        rules: Rules,
        *,
        by_sweep: bool,
    ) -> None:
        self._states = states
        self._request = request
        self._integration = integration
        self._rules = rules
        self._entity = keys.conversation_name(request)
        self._person = keys.person_digest(request.person)
        self._owner = "" if by_sweep else f"{request.job_id}:"
        self._token = f"{self._owner or 'sweep:'}{uuid4().hex}"
        self._view: View | None = None

    def look(self) -> View:
        """Take the conversation unless another worker has it, and read it.

        A request without a record or a text gets both: another version may have queued its job.
        """
        if self._view is not None:
            return self._run([], HOLD, looks=True)
        record = record_key(self._request.job_id)
        counted: list[Command] = [
            ("HINCRBY", record, "attempts", 1),
            ("EXPIRE", record, kept_seconds(self._request)),
        ]
        return self._run(counted, HOLD, looks=True, first=True)

    def keep(self, changes: Changes) -> View:
        """Keep what a step changed, if this run still has the conversation."""
        assert self._view is not None  # noqa: S101  look comes first
        commands = commands_of(changes, self._view, self._entity, self._person)
        return self._run(commands, changes.hold, unless_paused=changes.unless_paused)

    def report(self) -> None:
        """Note that the job has failed with its error: a run after that is a requeued job."""
        if self._owner:  # the sweep is not the job
            self._states.redis.hset(record_key(self._request.job_id), "reported", "1")

    def release(self) -> None:
        """Let other workers have the conversation, if this run has it."""
        if self._states.held.pop(self._token, None):
            self._states.release(keys=[self._lock], args=[self._token])

    @property
    def _lock(self) -> str:
        key = keys.turn_key(self._entity)
        return f"{key}:{self._person}" if self._person else key

    def _run(
        self,
        commands: list[Command],
        hold: float,
        *,
        unless_paused: bool = False,
        looks: bool = False,
        first: bool = False,
    ) -> View:
        arguments: list[str | int] = [
            self._token,
            int(hold * 1000),
            "1" if looks else "",
            self._owner if first else "",
            TAKE_OVER_AFTER,
            self._request.job_id,
            RECORD_PREFIX,
            self._person,
            request_text(self._request) if first else "",
            number_of(self._request),
            text_value(self._request) if first else "",
            "1" if unless_paused else "",
            json.dumps([[str(part) for part in command] for command in commands]),
        ]
        found = self._states.script(keys=self._keys(), args=arguments)
        if found[0]:
            self._states.held[self._token] = self
        self._view = read_view(found, self._integration, self._rules, self._person)
        return self._view

    def _keys(self) -> list[str]:
        """In the order in which `state.lua` unpacks them."""
        return [
            self._lock,
            keys.texts_key(self._entity),
            keys.open_key(self._entity),
            keys.pause_key(self._entity),
            keys.no_text_key(self._entity, self._person),
            keys.tagged_key(self._entity),
            keys.hour_key(self._entity),
            *period_keys(self._integration),
            record_key(self._request.job_id),
            OPEN_KEY,
        ]
