"""The tables of the store by name, and the columns that tell their rows apart.

A further table is a line here and a step in `migrations.STEPS`; it is read and written through
`store.database` (`database.Database`), and `flask store copy` takes it along. The rows of a table
whose key begins with an integration's own belong to that integration: they go where it goes.
"""

INTEGRATIONS = "integrations"
VERSIONS = "instruction_versions"
VARIABLE = "variable_entries"
SCENARIOS = "scenarios"
SOURCES = "sources"  # what businesses have told, see `knowledge.sources`

KEYS: dict[str, tuple[str, ...]] = {
    INTEGRATIONS: ("integration_id", "subdomain"),
    VERSIONS: ("integration_id", "subdomain", "number"),
    VARIABLE: ("integration_id", "subdomain"),
    SCENARIOS: ("integration_id", "subdomain", "scenario_id"),
    SOURCES: ("integration_id", "subdomain", "source"),
}
