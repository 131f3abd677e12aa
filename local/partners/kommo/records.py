"""What a stand-in Kommo keeps for the tests: no bearer, whatever becomes of a call."""

from dataclasses import dataclass, field
from typing import Any

from local.partners.kommo.account import Account
from local.partners.kommo.widget_requests import WaitingBlock


@dataclass(frozen=True)
class Continuation:
    """A continue call that was accepted; `at` is `time.monotonic()`."""

    account: Account
    block: WaitingBlock
    body: dict[str, Any] = field(repr=False)
    at: float

    @property
    def continue_id(self) -> int:
        """The number of the block that was continued."""
        return self.block.continue_id

    @property
    def shown(self) -> list[str]:
        """What the customer sees, bubble by bubble."""
        handlers = self.body.get("execute_handlers", [])
        shows = [one["params"]["value"] for one in handlers if one["handler"] == "show"]
        data = self.body["data"]
        prints = self.block.delivery == "json" and data["status"] != "skip"
        return [*shows, data["reply"]] if prints else shows


@dataclass(frozen=True)
class Arrival:
    """A continue call as it came in, whatever became of it; `at` is `time.monotonic()`."""

    path: str
    body: Any = field(repr=False)
    at: float

    @property
    def silent(self) -> bool:
        """The customer would see nothing of it."""
        return is_silent(self.body)


@dataclass(frozen=True)
class Refusal:
    """A call that was refused: its status, Kommo's first error code, and where it came."""

    status: int
    code: str
    continue_id: int | None
    path: str


@dataclass(frozen=True)
class Violation:
    """The bearer of one account was sent to the waiting block of another."""

    owner: str
    bearer_of: str
    path: str


def is_silent(body: dict[str, Any]) -> bool:
    """Whether a continue call shows the customer nothing: `skip`, or a dash that nobody prints."""
    data = body.get("data", {})
    return data.get("status") == "skip" or (
        data.get("reply") in ("", "-") and not body.get("execute_handlers")
    )
