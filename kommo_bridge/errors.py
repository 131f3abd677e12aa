"""Every error of ours, as one tree.

    BridgeError
    ├── SettingsError              a setting is missing or wrong; stops the start
    ├── RefusedRequest             a widget request is not accepted; carries code and HTTP status
    │   ├── InvalidRequest         400: the body cannot be read, a field is wrong or missing
    │   ├── InvalidReturnUrl       400: the return URL is not the verified account's own
    │   ├── InvalidToken           401: the caller is given no reason; the log has it
    │   ├── RateLimited            429: too many widget requests from one integration
    │   ├── QueueUnavailable       503: Redis cannot take the job
    │   └── StoreUnavailable       503: who speaks cannot be looked up
    ├── StoreError                 the integration store cannot be used just now
    │   └── RowExists              it has a row with this key already
    ├── IntegrationError           a command about an integration cannot be carried out
    ├── KnowledgeError             a source cannot be read, kept or found
    ├── PartnerError               a partner failed: permanent or not, and when to try again
    │   ├── AssistantError         the AI
    │   └── KommoError             Kommo
    ├── ContinuedWithFailure       a Salesbot was continued, but with the fallback sentence only
    ├── AlertError                 an alert could not be delivered
    ├── ScenarioError              a scenario file is wrong; names the file, the scenario, the line
    ├── ArchiveError               the widget archive breaks a rule of Kommo
    ├── ErrandRefused              the console asks for too much at once
    └── BotFileError               the ready-made Salesbot cannot be made

No message holds a token, a secret or a customer's words: all of them may reach a log.
"""

from http import HTTPStatus
from typing import ClassVar


class BridgeError(Exception):
    """Base of all errors of ours."""


class SettingsError(BridgeError):
    """A setting is missing or wrong. The message names the variable and what to do."""


class RefusedRequest(BridgeError):
    """A widget request that is not accepted. The message is one plain sentence for the caller.

    `reason` is for our log only; `retry_after_seconds` becomes the `Retry-After` header.
    """

    code: ClassVar[str] = "invalid_request"
    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST

    def __init__(
        self, message: str, *, reason: str = "", retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or message
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(RefusedRequest):
    """The body cannot be read, or a field is missing, of the wrong type or too long."""


class InvalidReturnUrl(RefusedRequest):
    """The return URL is not a continue URL on the verified account's own host."""

    code = "invalid_return_url"


class InvalidToken(RefusedRequest):
    """The bot token is not valid. The reason is for the log; the caller never sees it."""

    code = "invalid_token"
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, reason: str) -> None:
        super().__init__("The token is missing or not valid.", reason=reason)


class RateLimited(RefusedRequest):
    """More widget requests than `RATE_LIMIT` allows for this integration."""

    code = "rate_limited"
    status = HTTPStatus.TOO_MANY_REQUESTS


class QueueUnavailable(RefusedRequest):
    """Redis is unreachable, slow or full: the job could not be queued."""

    code = "queue_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class StoreUnavailable(RefusedRequest):
    """The integration store is away, and this process does not know the integration yet."""

    code = "store_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class StoreError(BridgeError):
    """The integration store cannot be used just now. The message says why, in one sentence."""


class RowExists(StoreError):
    """The store has a row with this key already."""

    def __init__(self) -> None:
        super().__init__("The integration store has this row already.")


class IntegrationError(BridgeError):
    """A command about an integration cannot be carried out. The message says what to do."""


class KnowledgeError(BridgeError):
    """A file or page cannot be read, kept or found. The message says what to do."""


class PartnerError(BridgeError):
    """A partner failed.

    Args:
        message: What happened, without contents.
        permanent: True when trying again cannot help.
        retry_after_seconds: What the partner asked us to wait, if it did.
    """

    def __init__(
        self, message: str, *, permanent: bool, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after_seconds = retry_after_seconds


class AssistantError(PartnerError):
    """The AI gave no reply.

    Attributes:
        status: The HTTP status, None when there was no response.
        sentence: The server's own words. They may quote the customer: only for the doctor, whose
            question holds none; never logged.
    """

    status: int | None = None
    sentence: str = ""


class KommoError(PartnerError):
    """Kommo did not accept a call.

    Args:
        status: The HTTP status, or None when there was no response.
        arrived: False when the call certainly did not reach Kommo, True when it may have.
        codes: The error codes of Kommo's `validation-errors`, for the log.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool,
        status: int | None = None,
        arrived: bool = False,
        codes: tuple[str, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, permanent=permanent, retry_after_seconds=retry_after_seconds)
        self.status = status
        self.arrived = arrived
        self.codes = codes


class ContinuedWithFailure(BridgeError):
    """A Salesbot was continued with `fail`: its job stays visible, and the message says why."""


class AlertError(BridgeError):
    """An alert could not be delivered. The message never holds the URL, which is a secret."""


class ScenarioError(BridgeError):
    """A scenario cannot be read. The message names the file, the scenario and the line."""


class ArchiveError(BridgeError):
    """The widget archive breaks a rule of Kommo. The message names the file and the rule."""


class ErrandRefused(BridgeError):
    """The console asks workers for too much at once. The message says to wait."""


class BotFileError(BridgeError):
    """The ready-made Salesbot cannot be made. The message says what is wrong with which value."""
