"""One integration: its fields, each declared once.

A new field is one declaration in the module of its group (kind, one sentence of help, default) and
one migration. Checks, `flask integrations set`, `show`, `export` and `--help`, and docs/fields.md
read the declarations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from kommo_bridge.english import did_you_mean
from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.account_fields import DOMAINS, SUBDOMAIN, AccountFields
from kommo_bridge.integrations.assistant_fields import AssistantFields
from kommo_bridge.integrations.handoff_fields import HandoffFields
from kommo_bridge.integrations.kinds import Cap, Kind, MoneyCap, Secret
from kommo_bridge.integrations.owner_fields import OwnerFields
from kommo_bridge.integrations.spending_fields import SHARED_KEY_REPLIES_PER_DAY, SpendingFields

__all__ = ["DOMAINS", "SHARED_KEY_REPLIES_PER_DAY", "SUBDOMAIN"]
KEY_COLUMNS = ("integration_id", "subdomain")


# Python takes the fields of the last base first: they are listed from the bottom up.
@dataclass(frozen=True)
class Integration(OwnerFields, SpendingFields, HandoffFields, AssistantFields, AccountFields):
    """One integration in one account, and how its customers are answered."""

    @property
    def host(self) -> str:
        """The account's own host, the only one to which its access token is sent."""
        return f"{self.subdomain}.{self.domain}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that may have signed a bot token, none when disabled."""
        return (self.secret_key, self.previous_secret_key) if self.enabled else ()

    def cap(self, name: str) -> int:
        """The cap of this name that applies, money in millionths; 0 for none."""
        value: float | None = getattr(self, name)
        if isinstance(KINDS[name], MoneyCap):
            return round((value or 0) * 1_000_000)
        if value is not None:
            return int(value)
        return 0 if self.ai_api_key or self.ai_base_url else SHARED_KEY_REPLIES_PER_DAY


FIELDS = tuple(item.name for item in fields(Integration))
KINDS: dict[str, Kind] = {item.name: item.metadata["kind"] for item in fields(Integration)}
HELP: dict[str, str] = {item.name: item.metadata["help"] for item in fields(Integration)}
SECRETS = tuple(name for name in FIELDS if isinstance(KINDS[name], Secret))
CAPS = tuple(  # of the whole integration
    name
    for name, kind in KINDS.items()
    if isinstance(kind, MoneyCap) or (isinstance(kind, Cap) and kind.scope == "integration")
)


def unknown_field(name: str) -> str:
    """What is said of a name that is no field: the one that was meant, else all."""
    meant = did_you_mean(name.lower(), FIELDS) or f"Fields are {', '.join(FIELDS)}."
    return f"{name!r} is not a field. {meant}"


def from_mapping(item: Mapping[str, Any]) -> Integration:
    """One integration from a JSON object or from command-line texts, types checked.

    Raises:
        IntegrationError: A key is unknown, a value of the wrong type, or a key column is missing.
    """
    if not isinstance(item, Mapping):
        raise IntegrationError("Each integration must be a JSON object.")
    if unknown := sorted(set(item) - set(FIELDS)):
        raise IntegrationError(unknown_field(unknown[0]))
    for name in KEY_COLUMNS:
        if not isinstance(item.get(name), str) or not item[name]:
            raise IntegrationError(f"The field {name!r} is missing.")
    values = {name: _read(name, value) for name, value in item.items()}
    return Integration(**{**values, **{name: values[name].lower() for name in KEY_COLUMNS}})


def check_integration(integration: Integration) -> None:
    """Refuse what could never work.

    Raises:
        IntegrationError: Naming the field and what it must be.
    """
    for name, kind in KINDS.items():
        value = getattr(integration, name)
        if not (kind.unset if value is None else kind.fits(value)):
            raise IntegrationError(f"{name} must {kind.must}")


def _read(name: str, value: Any) -> Any:
    kind = KINDS[name]
    if kind.unset and value in (None, ""):
        return None
    try:
        return kind.read(value)
    except (TypeError, ValueError, OverflowError):
        raise IntegrationError(f"{name} must {kind.must}") from None
