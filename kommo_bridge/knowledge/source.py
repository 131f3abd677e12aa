"""One source: where it came from, how it is, and the rules for its next look. No I/O."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kommo_bridge.knowledge.block import Block, to_json
from kommo_bridge.knowledge.fetch import Version
from kommo_bridge.knowledge.passages import passages

UNNAMED = Version()
PAGE, FILE, TEXT = "page", "file", "text"
MAX_TITLE = 120
# A page that was looked at within this time needs no look this night.
LOOKED_AT_SECONDS = 12 * 3600
ALERT_AFTER = timedelta(days=3)


@dataclass(frozen=True)
class Source:
    """What is kept of a source beside its content.

    Attributes:
        number: Names it within its integration.
        kind: `page`, `file` or `text`.
        origin: The address of a page, the name of a file; empty for a text.
        characters, passages: How much it says.
        fingerprint: Changes with its title or content.
        changed_at, checked_at: When its content was last new, and last read or found unchanged
            (ISO 8601, UTC).
        version: How the page's server names what we have.
        failing_since: Since when a page cannot be read; empty when it can.
        problem: Why, in one sentence.
    """

    number: int
    title: str
    kind: str
    origin: str
    characters: int = 0
    passages: int = 0
    fingerprint: str = ""
    changed_at: str = ""
    checked_at: str = ""
    version: Version = UNNAMED
    failing_since: str = ""
    problem: str = ""

    def with_content(self, blocks: list[Block], now: datetime) -> "Source":
        """It has been read: nothing of an earlier problem is left."""
        mark = hashlib.sha256(f"{self.title}\n{to_json(blocks)}".encode()).hexdigest()[:16]
        moment = text_of(now)
        return replace(
            self,
            characters=sum(block.size for block in blocks),
            passages=len(passages(self.title, blocks)),
            fingerprint=mark,
            changed_at=self.changed_at if mark == self.fingerprint else moment,
            checked_at=moment,
            failing_since="",
            problem="",
        )

    def unchanged(self, now: datetime) -> "Source":
        """Its server says that it is still what we have."""
        return replace(self, checked_at=text_of(now), failing_since="", problem="")

    def failed(self, problem: str, now: datetime) -> "Source":
        """It could not be read; what it said before stays."""
        since = self.failing_since or text_of(now)
        return replace(self, failing_since=since, problem=problem)

    def is_due(self, now: datetime) -> bool:
        """Whether the nightly refresh looks at it."""
        if self.kind != PAGE:
            return False
        return not 0 <= _since(self.checked_at, now).total_seconds() < LOOKED_AT_SECONDS

    def needs_an_alert(self, now: datetime) -> bool:
        """Whether it has failed for three days."""
        return bool(self.failing_since) and _since(self.failing_since, now) >= ALERT_AFTER


def clean_title(title: str) -> str:
    """A title on one line, of at most `MAX_TITLE` characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in title).split())[:MAX_TITLE]


def text_of(moment: datetime) -> str:
    """A moment as the store keeps it."""
    return moment.isoformat(timespec="seconds")


def _since(moment: str, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(moment)
