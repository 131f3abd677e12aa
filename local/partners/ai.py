"""A stand-in for an OpenAI-compatible AI: strict about requests, plain in its replies.

It serves `POST /v1/chat/completions` and `GET /v1/models`; answers and errors have the shapes of
https://platform.openai.com/docs/api-reference/chat and
https://platform.openai.com/docs/guides/error-codes
"""

import itertools
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from local.partners.ai_request import complaint, text_of
from local.partners.http.exchange import Answer, Request, read_json
from local.partners.http.faults import Fault, Status
from local.partners.http.local_server import LocalServer

Messages = list[dict[str, Any]]
Reply = Callable[[Messages], str | dict[str, Any]]

_CHARACTERS_PER_TOKEN = 4
# Of the prompts so far; a prefix counts from so many tokens on, in steps.
REMEMBERED_PROMPTS = 16
CACHED_FROM = 1024
CACHED_STEP = 128
_MEANINGS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def openai_error(
    status: int,
    code: str | None = None,
    message: str = "Ordered by a test.",
    *,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """Return the fault of an error in OpenAI's shape.

    Args:
        status: 401, 429, 500 and so on.
        code: OpenAI's code, such as `insufficient_quota`; None takes the usual one of the status.
        message: The sentence for humans.
        headers: More headers, such as `Retry-After`.
    """
    return Status(status, _error(status, message, code=code), headers or {})


def offline_reply(messages: Messages) -> str | dict[str, Any]:
    """Return the canned reply: the same words for the same last messages of the customer.

    It hands over to whoever writes of a human, and says which message it remembers.
    """
    said = [text_of(one) for one in messages if one["role"] == "user"] or [""]
    if re.search(r"\bhuman\b", said[-1], re.IGNORECASE):
        return handoff_call("(offline stand-in) One moment, a colleague will answer you here.")
    before = f' Before, you wrote: "{said[-2]}".' if said[1:] else ""
    return f'(offline stand-in) You wrote: "{said[-1]}".{before} A real AI would answer you here.'


class StandInAI(LocalServer):
    """An OpenAI-compatible server.

    Args:
        reply: Gets the messages of a request; returns the reply's text, or a whole assistant
            message as a dict (its `finish_reason`, when there, goes where it belongs).
        api_key: The only bearer accepted; None accepts every request.
        models: The only models known; None knows every one.
        delay_seconds: How long the AI thinks; may be changed at any time.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        reply: Reply = offline_reply,
        *,
        api_key: str | None = None,
        models: Sequence[str] | None = None,
        delay_seconds: float = 0.0,
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.reply = reply
        self.delay_seconds = delay_seconds
        self._api_key = api_key
        self._models = models
        self._requests: list[Any] = []
        self._answered = 0
        self._prompts: deque[str] = deque(maxlen=REMEMBERED_PROMPTS)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @property
    def base_url(self) -> str:
        """The OPENAI_BASE_URL of this server."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> list[Any]:
        """The bodies of all requests for a completion so far, also of those that met a fault."""
        with self._lock:
            return list(self._requests)

    @property
    def count(self) -> int:
        """How many completions were asked for."""
        return len(self.requests)

    @property
    def answered(self) -> int:
        """How many replies were made, and would have been billed."""
        with self._lock:
            return self._answered

    def received(self, request: Request) -> None:
        """Keep the body of a request for a completion; None when it is not JSON."""
        if request.path == "/v1/chat/completions":
            with self._lock:
                self._requests.append(read_json(request.body))

    def answer(self, request: Request) -> Answer:
        """Route a request."""
        if self._api_key is not None and request.bearer != self._api_key:
            return _refusal(401, "Incorrect API key provided.")
        match request.method, request.path:
            case "POST", "/v1/chat/completions":
                return self._complete(read_json(request.body))
            case "GET", "/v1/models":
                return Answer.json(200, self._model_list())
            case _:
                return _refusal(404, "Unknown request URL.", code="unknown_url")

    def _complete(self, body: Any) -> Answer:
        wrong = complaint(body)
        if wrong:
            return _refusal(400, wrong)
        model = body["model"]
        if self._models is not None and model not in self._models:
            return _refusal(404, f"The model `{model}` does not exist or you do not have access.")
        self.pause(self.delay_seconds)
        made = self.reply(body["messages"])
        message = {"content": made} if isinstance(made, str) else dict(made)
        with self._lock:
            self._answered += 1
        return Answer.json(200, self._completion(body, message), headers=self._request_id())

    def _completion(self, body: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        usual = "tool_calls" if message.get("tool_calls") else "stop"
        reason = message.pop("finish_reason", usual)
        whole = {"role": "assistant", "content": None, "refusal": None, **message}
        return {
            "id": f"chatcmpl-standin-{next(self._numbers)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [{"index": 0, "message": whole, "logprobs": None, "finish_reason": reason}],
            "usage": _usage(body["messages"], message, self._cached(body)),
        }

    def _cached(self, body: dict[str, Any]) -> int:
        """Tokens at the beginning of the prompt that an earlier one had too, as OpenAI counts them:
        https://platform.openai.com/docs/guides/prompt-caching"""
        prompt = json.dumps([body.get("tools"), body["messages"]], ensure_ascii=False)
        with self._lock:
            same = [_same_characters(prompt, one) for one in self._prompts]
            self._prompts.append(prompt)
        tokens = max(same, default=0) // _CHARACTERS_PER_TOKEN
        return 0 if tokens < CACHED_FROM else tokens // CACHED_STEP * CACHED_STEP

    def _model_list(self) -> dict[str, Any]:
        names = self._models if self._models is not None else ("offline-stand-in",)
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "stand-in"} for name in names
        ]
        return {"object": "list", "data": models}

    def _request_id(self) -> dict[str, str]:
        return {"x-request-id": f"req_standin_{next(self._numbers)}"}


def tool_call(name: str, **arguments: str) -> dict[str, Any]:
    """Return the assistant message that calls a tool."""
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"tool_calls": [{"id": "call_standin", "type": "function", "function": function}]}


def handoff_call(
    sentence: str, reason: str = "customer_request", summary: str = ""
) -> dict[str, Any]:
    """Return the assistant message that calls our tool `handoff`."""
    return tool_call("handoff", sentence=sentence, reason=reason, summary=summary)


def _usage(messages: Messages, reply: Mapping[str, Any], cached: int) -> dict[str, Any]:
    asked = sum(_tokens(text_of(one)) for one in messages)
    said = _tokens(text_of(reply) or json.dumps(reply))
    return {
        "prompt_tokens": asked,
        "completion_tokens": said,
        "total_tokens": asked + said,
        "prompt_tokens_details": {"cached_tokens": min(cached, asked)},
    }


def _same_characters(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _tokens(text: str) -> int:
    return 1 + len(text) // _CHARACTERS_PER_TOKEN


def _error(status: int, message: str, *, code: str | None = None) -> dict[str, object]:
    kind, usual = _MEANINGS.get(status, ("server_error", None))
    if code == "insufficient_quota":
        kind = code
    error = {"message": message, "type": kind, "param": None, "code": code or usual}
    return {"error": error}


def _refusal(status: int, message: str, *, code: str | None = None) -> Answer:
    return Answer.json(status, _error(status, message, code=code))
