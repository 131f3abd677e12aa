"""docs/fields.md, generated from the declarations of the fields: `make fields` rewrites it."""

import sys
from dataclasses import MISSING, Field, fields
from typing import Any

from kommo_bridge.integrations.integration import HELP, KINDS, SECRETS, Integration

HEAD = """\
# The fields of an integration

`make fields` writes this page from the modules of `kommo_bridge/integrations/` that declare each
field once. `flask integrations set acme FIELD=VALUE` changes a field, `show acme` prints all of
them, and [assistant.md](assistant.md) explains those that shape the assistant.

| field | meaning | default | must |
| --- | --- | --- | --- |
"""


def fields_page() -> str:
    """The whole page."""
    return HEAD + "".join(_line(item) for item in fields(Integration))


def _line(item: Field[Any]) -> str:
    secret = " Encrypted, never printed." if item.name in SECRETS else ""
    cells = (f"`{item.name}`", HELP[item.name] + secret, _default(item), KINDS[item.name].must)
    return f"| {' | '.join(cells)} |\n"


def _default(item: Field[Any]) -> str:
    kind = KINDS[item.name]
    if item.default is None:
        return kind.unset
    if item.default is MISSING or not kind.fits(item.default):
        return "required"
    if isinstance(item.default, bool):
        return f"`{str(item.default).lower()}`"
    if isinstance(item.default, str):
        return f"`{item.default}`" if item.default else "-"
    return f"{item.default:g}"


if __name__ == "__main__":
    sys.stdout.write(fields_page())
