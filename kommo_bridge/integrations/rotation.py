"""A new `SECRET_KEY`: everything that the former one encrypted is encrypted anew."""

from dataclasses import dataclass

from kommo_bridge.errors import SettingsError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.tables import INTEGRATIONS


@dataclass(frozen=True)
class Rotation:
    """What became of the integrations: how many are written anew, were so already, or cannot be
    read with either key."""

    rewritten: int
    current: int
    unreadable: tuple[str, ...]


def rotate(store: IntegrationStore) -> Rotation:
    """Encrypt every secret with `SECRET_KEY` and for its place; all or nothing is stored.

    A row that neither key can read stays as it is.
    """
    rewritten, current, unreadable = 0, 0, []
    with store.writing("command") as writing:
        for row in writing.writer.read(f"select * from {INTEGRATIONS}"):  # noqa: S608
            if store.rows.is_current(row):
                current += 1
                continue
            try:
                integration = store.rows.read(row)
            except SettingsError:
                unreadable.append(str(row["subdomain"]))
                continue
            writing.writer.upsert(INTEGRATIONS, store.rows.write(integration))
            rewritten += 1
    return Rotation(rewritten, current, tuple(unreadable))
