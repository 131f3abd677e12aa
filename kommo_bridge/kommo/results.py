"""What the client returns: the result of a continue call, and what an account reports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CallResult:
    """What became of a continue call.

    Attributes:
        status: The HTTP status; None when there was no response.
        may_have_arrived: Whether Kommo may have taken the call without saying so.
        codes: The error codes of Kommo's `validation-errors`, for the log.
        retry_after_seconds: How long not to try again: what Kommo asked, or the pause that the
            response began; None when neither says.
        blocked: This 403 may be a block of our address, so it is not final.
        error: What happened, in words without contents; empty when accepted.
    """

    status: int | None
    may_have_arrived: bool = False
    codes: tuple[str, ...] = ()
    retry_after_seconds: float | None = None
    blocked: bool = False
    error: str = ""

    @property
    def accepted(self) -> bool:
        """Any 2xx: taken, which is not yet delivered."""
        return self.status is not None and self.status // 100 == 2  # noqa: PLR2004


@dataclass(frozen=True)
class AccountAnswer:
    """What an account reports about itself.

    Attributes:
        account_id, subdomain: As the account reports them.
        date: The header of its response, which came at `received_at` (seconds since the epoch).
        is_admin: Whether the token's user is an administrator; None when Kommo does not say.
    """

    account_id: object
    subdomain: object
    date: str
    received_at: float
    is_admin: bool | None
