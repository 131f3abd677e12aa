"""The sources of all integrations in the store: a row each, with its content as JSON."""

from dataclasses import fields

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.integrations.database import Database, Row
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.tables import SOURCES
from kommo_bridge.knowledge.block import Block, from_json, to_json
from kommo_bridge.knowledge.fetch import Version
from kommo_bridge.knowledge.source import PAGE, Source

OF_ONE = "integration_id = ? and subdomain = ?"
# All columns but the content, which may be large.
NAMES = (
    *(item.name for item in fields(Source) if item.name not in ("number", "version")),
    *("source", "etag", "last_modified"),
)

# For each source its number, title and fingerprint: they change when anything does.
Marks = tuple[tuple[int, str], ...]


class Sources:
    """Reads and writes them; every method raises StoreError when the store is away."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def all(self, integration: Integration) -> list[Source]:
        """Those of an integration, in the order of their numbers."""
        query = f"select {', '.join(NAMES)} from {SOURCES} where {OF_ONE} order by source"  # noqa: S608
        return [_source(row) for row in self.database.read(query, _key(integration))]

    def has_pages(self) -> bool:
        """Whether any integration has a page."""
        query = f"select source from {SOURCES} where kind = ? limit 1"  # noqa: S608
        return bool(self.database.read(query, (PAGE,)))

    def find(self, integration: Integration, number: int) -> Source:
        """One of them.

        Raises:
            KnowledgeError: There is none with this number.
        """
        for source in self.all(integration):
            if source.number == number:
                return source
        raise KnowledgeError(
            f"There is no source {number} of {integration.host}. "
            f"See `flask knowledge list {integration.subdomain}`."
        )

    def marks(self, integration: Integration) -> Marks:
        """What tells whether anything has changed."""
        query = f"select source, fingerprint from {SOURCES} where {OF_ONE} order by source"  # noqa: S608
        rows = self.database.read(query, _key(integration))
        return tuple((row["source"], row["fingerprint"]) for row in rows)

    def contents(self, integration: Integration) -> list[tuple[str, list[Block]]]:
        """Title and content of each, in the order of their numbers."""
        query = f"select title, content from {SOURCES} where {OF_ONE} order by source"  # noqa: S608
        rows = self.database.read(query, _key(integration))
        return [(row["title"], from_json(row["content"])) for row in rows]

    def content(self, integration: Integration, number: int) -> list[Block]:
        """The content of one; empty when it is gone."""
        query = f"select content from {SOURCES} where {OF_ONE} and source = ?"  # noqa: S608
        rows = self.database.read(query, (*_key(integration), number))
        return from_json(rows[0]["content"]) if rows else []

    def keep(
        self, integration: Integration, source: Source, blocks: list[Block], most_passages: int
    ) -> Source:
        """Add a source, or give an earlier one of the same kind and origin this content.

        One that has a number already is changed, and not added when it was removed meanwhile.

        Raises:
            KnowledgeError: The integration would have more than `most_passages`.
        """
        with self.database.writing() as writer:
            query = f"select {', '.join(NAMES)} from {SOURCES} where {OF_ONE}"  # noqa: S608
            others = [_source(row) for row in writer.read(query, _key(integration))]
            same = [one for one in others if source.origin and _place(one) == _place(source)]
            if source.number and not same:
                return source
            number = same[0].number if same else 1 + max((one.number for one in others), default=0)
            rest = sum(one.passages for one in others if one.number != number)
            if rest + source.passages > most_passages:
                raise KnowledgeError(
                    f"That would be {rest + source.passages:,} passages, more than the "
                    f"{most_passages:,} that are searched: keep what customers ask about."
                )
            row = {**_row(source), "source": number, "content": to_json(blocks)}
            key = dict(zip(("integration_id", "subdomain"), _key(integration), strict=True))
            writer.upsert(SOURCES, {**key, **row})
        return self.find(integration, number)

    def note(self, integration: Integration, source: Source) -> None:
        """Keep how a source is, without a change of its content; one that is gone stays gone."""
        with self.database.writing() as writer:
            writer.update(SOURCES, (*_key(integration), source.number), _row(source))

    def remove(self, integration: Integration, source: Source) -> None:
        """Forget one."""
        with self.database.writing() as writer:
            writer.delete(SOURCES, (*_key(integration), source.number))


def _key(integration: Integration) -> tuple[str, str]:
    return integration.integration_id, integration.subdomain


def _place(source: Source) -> tuple[str, str]:
    return source.kind, source.origin


def _source(row: Row) -> Source:
    own = {name: row[name] for name in NAMES if name not in ("source", "etag", "last_modified")}
    return Source(number=row["source"], version=Version(row["etag"], row["last_modified"]), **own)


def _row(source: Source) -> Row:
    own = {item.name: getattr(source, item.name) for item in fields(Source)}
    del own["number"], own["version"]
    return {**own, "etag": source.version.etag, "last_modified": source.version.last_modified}
