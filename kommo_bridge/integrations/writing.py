"""One transaction on the integrations: every change of a row is made here, with its history."""

from collections.abc import Callable
from typing import Any

from kommo_bridge.errors import SettingsError
from kommo_bridge.integrations.database import Row, Values, Writer
from kommo_bridge.integrations.filling import Change, Key, key_of
from kommo_bridge.integrations.integration import KEY_COLUMNS, Integration
from kommo_bridge.integrations.rows import Rows, timestamp
from kommo_bridge.integrations.tables import INTEGRATIONS, KEYS
from kommo_bridge.integrations.versions import record

Read = Callable[[str, Values], list[Row]]

# The tables whose rows belong to one integration: they go where it goes.
BELONGING = [
    table
    for table, key in KEYS.items()
    if table != INTEGRATIONS and key[: len(KEY_COLUMNS)] == KEY_COLUMNS
]
IS_KEY = " and ".join(f"{name} = ?" for name in KEY_COLUMNS)
MOVE = "update {} set " + ", ".join(f"{name} = ?" for name in KEY_COLUMNS)  # noqa: S608


def find_stored(read: Read, rows: Rows, key: Key) -> Integration | None:
    """The integration with this key, without its secrets where they cannot be decrypted."""
    for row in read(f"select * from {INTEGRATIONS} where {IS_KEY}", key):  # noqa: S608
        try:
            return rows.read(row)
        except SettingsError:
            return rows.read_without_secrets(row)
    return None


class Writing:
    """What may be done to integrations in one transaction.

    Args:
        writer: The transaction.
        by: Who changes something, for the versions of the instructions: command, console ...
    """

    def __init__(self, writer: Writer, rows: Rows, by: str) -> None:
        self.writer = writer
        self._rows = rows
        self._by = by

    def find(self, key: Key) -> Integration | None:
        """As `find_stored`, with what this transaction has written so far."""
        return find_stored(self.writer.read, self._rows, key)

    def insert(self, integration: Integration) -> None:
        """Add one.

        Raises:
            RowExists: There is one with its key.
        """
        row = {**self._rows.write(integration), "created_at": timestamp()}
        self.writer.insert(INTEGRATIONS, row)
        self._record(None, integration)

    def save(self, integration: Integration) -> None:
        """Add or replace one."""
        before = self.find(key_of(integration))
        if before is None:
            return self.insert(integration)
        self.writer.upsert(INTEGRATIONS, self._rows.write(integration))
        return self._record(before, integration)

    def replace(self, before: Integration, after: Integration) -> bool:
        """Put `after` in the place of `before`, with all that belongs to it; False if it is gone.

        Raises:
            RowExists: Another one has the key of `after`.
        """
        old, new = key_of(before), key_of(after)
        stored = self.find(old)
        if stored is None:
            return False
        self.writer.update(INTEGRATIONS, old, self._rows.write(after))
        if old != new:
            self._each_belonging(MOVE, (*new, *old))
        self._record(stored, after)
        return True

    def delete(self, integration: Integration) -> None:
        """Forget one, with all that belongs to it."""
        key = key_of(integration)
        self.writer.delete(INTEGRATIONS, key)
        self._each_belonging("delete from {}", key)

    def _each_belonging(self, statement: str, values: tuple[Any, ...]) -> None:
        for table in BELONGING:
            self.writer.run(f"{statement.format(table)} where {IS_KEY}", values)

    def _record(self, before: Integration | None, after: Integration) -> None:
        record(self.writer, Change(before, after), self._by, timestamp())
