"""The scenarios that are saved with an integration, in its store.

Rows are plain JSON; what a scenario means is known to `scenarios`. One that was made of a
conversation notes of which, so that it is forgotten with it.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any

from kommo_bridge.errors import ScenarioError
from kommo_bridge.integrations.database import Database, Writer
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.rows import timestamp
from kommo_bridge.integrations.tables import SCENARIOS
from kommo_bridge.integrations.writing import IS_KEY

MAX_SCENARIOS = 500


class SavedScenarios:
    """The table.

    Args:
        database: That of the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, integration: Integration, made_from: str = "") -> list[dict[str, Any]]:
        """The scenarios of an integration in the order in which they were first saved.

        Args:
            made_from: Only those that were made of this conversation.
        """
        only = " and made_from = ?" if made_from else ""
        rows = self._database.read(
            f"select body from {SCENARIOS} where {IS_KEY}{only} order by place, scenario_id",  # noqa: S608
            (*_key(integration), made_from) if made_from else _key(integration),
        )
        return [json.loads(row["body"]) for row in rows]

    def save(
        self, integration: Integration, tables: Iterable[Mapping[str, Any]], made_from: str = ""
    ) -> int:
        """Add scenarios; one whose id is known takes its place. Returns how many are new.

        Args:
            tables: As `scenarios.read` takes them, each with its `id`.
            made_from: The conversation that they were made of, such as `2:67890`.

        Raises:
            ScenarioError: There would be too many; nothing is saved.
        """
        with self._database.writing() as writer:
            known = _places(writer, integration)
            new = 0
            for table in tables:
                place = known.get(table["id"])
                new += place is None
                if place is None:
                    place = known[table["id"]] = 1 + max(known.values(), default=0)
                writer.upsert(SCENARIOS, _row(integration, table, place, made_from))
            if len(known) > MAX_SCENARIOS:
                raise ScenarioError(f"An integration has at most {MAX_SCENARIOS} scenarios.")
        return new

    def remove(self, integration: Integration, scenario_id: str) -> bool:
        """Remove one; False when there is none of that id."""
        with self._database.writing() as writer:
            return bool(writer.delete(SCENARIOS, (*_key(integration), scenario_id)))

    def forget(self, integration: Integration, made_from: str) -> int:
        """Remove those that were made of a conversation; returns how many."""
        statement = f"delete from {SCENARIOS} where {IS_KEY} and made_from = ?"  # noqa: S608
        with self._database.writing() as writer:
            return writer.run(statement, (*_key(integration), made_from))


def _key(integration: Integration) -> tuple[str, str]:
    return integration.integration_id, integration.subdomain


def _places(writer: Writer, integration: Integration) -> dict[str, int]:
    query = f"select scenario_id, place from {SCENARIOS} where {IS_KEY}"  # noqa: S608
    return {row["scenario_id"]: row["place"] for row in writer.read(query, _key(integration))}


def _row(
    integration: Integration, table: Mapping[str, Any], place: int, made_from: str
) -> dict[str, Any]:
    return {
        "integration_id": integration.integration_id,
        "subdomain": integration.subdomain,
        "scenario_id": table["id"],
        "place": place,
        "body": json.dumps(table, ensure_ascii=False, default=_plain),
        "made_from": made_from,
        "saved_at": timestamp(),
    }


def _plain(value: Any) -> str:
    """The times of TOML as text."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError(type(value).__name__)
