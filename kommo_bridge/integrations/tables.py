"""The tables of the store by name, and the columns that tell their rows apart.

A further table is a line here and a step in `migrations.STEPS`; it is read and written through
`store.database` (`database.Database`), and `flask store copy` takes it along. A key never changes.
"""

INTEGRATIONS = "integrations"

KEYS: dict[str, tuple[str, ...]] = {
    INTEGRATIONS: ("integration_id", "subdomain"),
}
