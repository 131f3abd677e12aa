"""The AI: one question, one reply, over any OpenAI-compatible server.

The only importer of openai. The SDK repeats a failed call once within seconds; if that fails too,
an AssistantError says whether trying again later can help.
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime
from typing import Any
from weakref import finalize

import httpx2
import openai

from kommo_bridge.ai.dialogue import Dialogue, Reply
from kommo_bridge.ai.prompt import HARMLESS, Question, body
from kommo_bridge.ai.refusal import Attempt, Reason, next_attempt
from kommo_bridge.ai.refused_tools import RefusedTools
from kommo_bridge.ai.response import Response, read_error, read_reason, read_response, retry_after
from kommo_bridge.ai.tools import Search, Tools
from kommo_bridge.conversations.memory import Exchange
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.ai_server import AIServer, ai_server
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.outgoing.httpx_transport import LimitedTransport
from kommo_bridge.outgoing.total_limit import seconds_left, total_limit

SDK_RETRIES = 1
MAX_ANSWER_BYTES = 1024 * 1024
# A longer wait belongs to RQ, where it holds no thread.
MAX_SDK_WAIT_SECONDS = 3.0
MAX_CLIENTS = 256
# The SDK wants a key; it is not sent.
NO_KEY = "none"
TROUBLE = (openai.OpenAIError, httpx2.HTTPError, OSError, ValueError, RecursionError)
HARMLESS_SECONDS = 5.0


class Assistant:
    """Asks the AI; shared by all threads of a worker, with one warm connection pool.

    Args:
        api_key, base_url, model: What integrations without an AI of their own use.
        timeout_seconds: How long the AI may be silent (`AI_TIMEOUT_SECONDS`).
        clock: Monotonic seconds, for what is remembered about a server for an hour.
    """

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | None,
        model: str,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._model = model
        self._timeout_seconds = timeout_seconds
        self._http = httpx2.Client(
            transport=LimitedTransport(),
            headers={"Accept-Encoding": "identity"},
            event_hooks={"response": [_never_unpack, _leave_long_waits_to_rq]},
        )
        finalize(self, self._http.close)  # also where nobody calls `close`
        self._clients: dict[AIServer, openai.OpenAI] = {}
        self._lock = threading.Lock()
        self._refused = RefusedTools(clock)

    def reply(
        self,
        integration: Integration,
        question: Question,
        *,
        seconds: float,
        history: Sequence[Exchange] = (),
        search: Search | None = None,
    ) -> Reply:
        """Ask for the reply to a customer's message, and carry out the calls of tools in it.

        Args:
            integration: Whose assistant is asked.
            question: What the customer wrote.
            seconds: All the time there is, retries of the SDK and all rounds included.
            history: What was said before, the oldest first.
            search: Searches what the business has given to know, where not all of it stands in
                the question.

        Raises:
            AssistantError: No reply; `permanent` is true when trying again cannot help.
        """
        tools = Tools(handoff=integration.handoff_tool, search=search)
        wanted = bool(tools.names) and self._place(integration) not in self._refused
        dialogue = Dialogue(tools, Attempt(wanted, len(history)))
        try:
            with total_limit(seconds, MAX_ANSWER_BYTES):
                while not dialogue.ended:
                    dialogue.add(self._ask(integration, question, history, dialogue))
        except openai.APIStatusError as error:
            raise read_error(error) from None  # the SDK's text may quote what we sent
        except TROUBLE as error:
            raise AssistantError(
                f"no response from the AI ({type(error).__name__})", permanent=False
            ) from None
        return dialogue.reply()

    def ask_plainly(
        self, integration: Integration, system: str, text: str, *, seconds: float
    ) -> tuple[str, int]:
        """Ask something else than a customer's question: no rules, no tools, no history.

        Returns:
            What the model wrote, and how many tokens it counted.

        Raises:
            AssistantError: No reply.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        try:
            with total_limit(seconds, MAX_ANSWER_BYTES):
                asked = {"messages": messages}
                response = self._call(self._client(integration), integration, asked)
        except openai.APIStatusError as error:
            raise read_error(error) from None
        except TROUBLE as error:
            raise AssistantError(
                f"no response from the AI ({type(error).__name__})", permanent=False
            ) from None
        found = read_response(response)
        return found.text, found.tokens.total

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _ask(
        self,
        integration: Integration,
        question: Question,
        history: Sequence[Exchange],
        dialogue: Dialogue,
    ) -> Response:
        """One round; a refused prompt is tried again with less, a few times."""
        blamed: Reason | None = None
        while True:
            attempt, first = dialogue.attempt, not dialogue.said
            asked = body(
                integration,
                question,
                datetime.now(UTC),
                attempt.history(history),
                tools=dialogue.offered,
            )
            asked["messages"] += dialogue.said
            if dialogue.must_write and "tools" in asked:
                asked["tool_choice"] = "none"
            try:
                response = self._call(self._client(integration), integration, asked)
                break
            except openai.APIStatusError as error:
                reason = read_reason(error)
                following = next_attempt(attempt, reason, history)
                if following is None:
                    raise
                dropped = attempt.tools and not following.tools
                # In a later round it may be the results of calls that are refused.
                blamed = reason if dropped and first else None
                dialogue.put(following)
        if blamed == "tools" or (blamed and self._refuses_tools(integration, dialogue.tools)):
            self._refused.add(self._place(integration))
        return read_response(response)

    def _call(
        self, client: openai.OpenAI, integration: Integration, asked: dict[str, Any]
    ) -> bytes:
        """One call; raw bytes, as the SDK would build an object for each part of a response.

        The time is that of the `total_limit` around it; each response has a size of its own.
        """
        seconds = seconds_left(self._timeout_seconds) or self._timeout_seconds
        with total_limit(seconds_left(None) or self._timeout_seconds, MAX_ANSWER_BYTES):
            response = client.chat.completions.with_raw_response.create(
                model=integration.model or self._model,
                timeout=seconds,
                extra_headers={"Authorization": openai.omit} if client.api_key == NO_KEY else None,
                **asked,
            )
            return response.content

    def _refuses_tools(self, integration: Integration, tools: Tools) -> bool:
        """Whether a harmless question with tools is refused too; its few tokens are not counted."""
        client = self._client(integration).with_options(max_retries=0)
        asked = body(integration, HARMLESS, datetime.now(UTC), tools=tools)
        try:
            with total_limit(HARMLESS_SECONDS, MAX_ANSWER_BYTES):
                self._call(client, integration, asked)
        except openai.APIStatusError as error:
            return read_reason(error) in ("tools", "unknown")
        except TROUBLE:
            return False
        return False

    def _place(self, integration: Integration) -> Hashable:
        """What a refusal of tools applies to: this integration, at its server, with its model."""
        return (
            integration.integration_id,
            integration.subdomain,
            ai_server(integration, self._api_key, self._base_url).base_url,
            integration.model or self._model,
        )

    def _client(self, integration: Integration) -> openai.OpenAI:
        """The client of one key and server; clients share the connection pool."""
        server = ai_server(integration, self._api_key, self._base_url)
        if not server.usable:
            raise AssistantError("no AI key is set for this integration", permanent=True)
        with self._lock:
            if server not in self._clients:
                if len(self._clients) >= MAX_CLIENTS:
                    self._clients.clear()
                self._clients[server] = self._made(server)
            return self._clients[server]

    def _made(self, server: AIServer) -> openai.OpenAI:
        try:
            return openai.OpenAI(
                api_key=server.api_key or NO_KEY,
                base_url=server.base_url,
                max_retries=SDK_RETRIES,
                http_client=self._http,
            )
        except httpx2.InvalidURL:
            raise AssistantError("the AI's base URL is not a valid URL", permanent=True) from None


def _never_unpack(response: httpx2.Response) -> None:
    """Refuse a compressed response that we did not ask for: it may hold a gigabyte."""
    if response.headers.pop("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("the response is compressed")


def _leave_long_waits_to_rq(response: httpx2.Response) -> None:
    """The SDK would sleep for up to two minutes of `Retry-After`; its own header forbids it."""
    wait = retry_after(response.headers)
    if wait is not None and wait > (seconds_left(MAX_SDK_WAIT_SECONDS) or 0.0):
        response.headers["x-should-retry"] = "false"
