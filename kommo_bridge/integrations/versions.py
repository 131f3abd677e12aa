"""The versions of an integration's instructions: who changed them and when, the last fifty."""

from dataclasses import dataclass

from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.database import Database, Writer
from kommo_bridge.integrations.filling import Change, key_of
from kommo_bridge.integrations.integration import KEY_COLUMNS, Integration
from kommo_bridge.integrations.tables import VERSIONS

KEPT = 50
# Who wrote what was there before versions were kept.
EARLIER = "earlier"

IS_KEY = " and ".join(f"{name} = ?" for name in KEY_COLUMNS)
NEWEST_FIRST = f"select * from {VERSIONS} where {IS_KEY} order by number desc"  # noqa: S608


@dataclass(frozen=True)
class Version:
    """The instructions as they were stored once.

    Attributes:
        number: Counts up from 1 in each integration.
        who: `command`, `console, owner`, `console, operator`, `variable` (`KOMMO_INTEGRATIONS`),
            or `earlier`.
        at: When they were stored, in ISO 8601, UTC.
    """

    number: int
    text: str
    who: str
    at: str


def new_versions(
    newest: Version | None, before: str, after: str, who: str, at: str
) -> list[Version]:
    """What a change adds to the versions: nothing when the instructions stay as they are.

    Args:
        newest: The last version that is kept.
        before, after: The instructions; `before` is kept too if no version holds them.
    """
    last = newest or Version(0, "", "", "")
    found = []
    for text, author in ((before, EARLIER), (after, who)):
        if text != last.text and before != after:
            last = Version(last.number + 1, text, author, at)
            found.append(last)
    return found


def record(writer: Writer, change: Change, who: str, at: str) -> None:
    """Keep the versions that a change adds, and only the last fifty of all."""
    before = change.before.instructions if change.before else ""
    after, key = change.after.instructions, key_of(change.after)
    if before == after:
        return
    stored = [_version(row) for row in writer.read(f"{NEWEST_FIRST} limit 1", key)]
    for one in new_versions(stored[0] if stored else None, before, after, who, at):
        row = dict(zip(KEY_COLUMNS, key, strict=True))
        writer.insert(VERSIONS, row | vars(one))
        writer.run(
            f"delete from {VERSIONS} where {IS_KEY} and number <= ?",  # noqa: S608
            (*key, one.number - KEPT),
        )


def versions_of(database: Database, integration: Integration) -> list[Version]:
    """All that are kept, the newest first."""
    return [_version(row) for row in database.read(NEWEST_FIRST, key_of(integration))]


def version_of(database: Database, integration: Integration, number: int) -> Version:
    """One of them.

    Raises:
        IntegrationError: It is not kept.
    """
    for one in versions_of(database, integration):
        if one.number == number:
            return one
    raise IntegrationError(
        f"{integration.host} has no version {number} of its instructions: "
        f"flask integrations history {integration.subdomain} lists them."
    )


def _version(row: dict[str, object]) -> Version:
    return Version(int(str(row["number"])), str(row["text"]), str(row["who"]), str(row["at"]))
