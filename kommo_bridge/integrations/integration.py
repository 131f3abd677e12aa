"""One integration: its fields, each declared once.

A new field is one declaration here (kind, one sentence of help, default) and one migration. Checks,
`flask integrations set`, `show`, `export` and `--help`, and docs/fields.md read the declarations.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from kommo_bridge.english import did_you_mean
from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.kinds import (
    Cap,
    Choice,
    Flag,
    Kind,
    Number,
    Secret,
    Sentence,
    Text,
    Url,
    WholeNumber,
    Word,
)
from kommo_bridge.integrations.sentences import FALLBACK_TEXT, HANDOFF_TEXT, NO_TEXT_TEXT

KEY_COLUMNS = ("integration_id", "subdomain")
SUBDOMAIN = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAINS = ("kommo.com", "amocrm.com", "amocrm.ru")
# A default cap: anyone who can sign requests of one integration spends the shared AI key.
SHARED_KEY_REPLIES_PER_DAY = 1000


def declared(kind: Kind, text: str, default: Any = MISSING) -> Any:
    """A field of `Integration`; `text` is one sentence of help for operators."""
    shown = not isinstance(kind, Secret)
    return field(default=default, repr=shown, metadata={"kind": kind, "help": text})


@dataclass(frozen=True)
class Integration:
    """One integration in one account, and how its customers are answered."""

    integration_id: str = declared(
        Word(pattern="[!-~]+", rule="be the integration's id, a UUID"),
        "Kommo's id of the integration, which bot tokens name as `client_uuid`.",
    )
    subdomain: str = declared(
        Word(
            pattern=SUBDOMAIN,
            rule="be the first label of the account's host, such as acme",
        ),
        "The first label of the account's host.",
    )
    account_id: int | None = declared(
        WholeNumber(low=1, unset="the first verified request binds it"),
        "The account's number.",
        None,
    )
    domain: str = declared(Choice(choices=DOMAINS), "The rest of the account's host.", DOMAINS[0])
    name: str = declared(Text(), "A name for you.", "")
    secret_key: str = declared(
        Secret(
            pattern="[!-~]+", rule="not be empty nor hold spaces: it proves that Kommo is speaking"
        ),
        "The integration's secret key; when it changes, the previous one keeps working.",
        "",
    )
    previous_secret_key: str = declared(
        Secret(), "The previous secret key; it is still accepted until you clear it.", ""
    )
    access_token: str = declared(Secret(), "The long-lived token that continues the Salesbot.", "")
    instructions: str = declared(Text(), "What the assistant knows about the business.", "")
    model: str | None = declared(Text(unset="`OPENAI_MODEL`"), "The model that answers.", None)
    temperature: float | None = declared(
        Number(low=0, high=2, unset="the model's own"),
        "How much the model varies its words.",
        None,
    )
    history: int = declared(
        WholeNumber(low=0, high=200),
        "How many exchanges of a conversation are remembered; 0 switches memory off.",
        20,
    )
    history_days: int = declared(
        WholeNumber(low=1, high=365),
        "After how many days without a message a conversation is forgotten.",
        30,
    )
    fallback_text: str = declared(
        Sentence(), "What the customer reads when the AI gave no reply.", FALLBACK_TEXT
    )
    no_text_text: str = declared(
        Sentence(), "What the customer reads when there was no text to answer.", NO_TEXT_TEXT
    )
    handoff_text: str = declared(
        Sentence(),
        "What the customer reads when a human takes over and the AI gave no sentence of its own.",
        HANDOFF_TEXT,
    )
    burst_seconds: float = declared(
        Number(low=0, high=10),
        "How long to wait for more of the customer's messages; 0 answers each by itself.",
        2.0,
    )
    handoff_hours: float = declared(
        Number(low=0, high=720, above=True),
        "How many hours the assistant is silent after a handoff.",
        12.0,
    )
    handoff_phrases: str = declared(
        Text(), "One phrase a line; a message or reply that contains one starts a handoff.", ""
    )
    handoff_tool: bool = declared(Flag(), "Whether the AI has a tool to start a handoff.", True)
    pause_tag: str = declared(
        Text(), "A tag on the lead that silences the assistant as long as it is there.", ""
    )
    replies_per_hour: int = declared(
        Cap(scope="conversation"), "The most replies in one conversation in an hour.", 30
    )
    replies_per_day: int | None = declared(
        Cap(unset=f"{SHARED_KEY_REPLIES_PER_DAY} on the shared AI key, no limit with its own key"),
        "The most replies of the whole integration in a day.",
        None,
    )
    tokens_per_day: int = declared(Cap(), "The most tokens of the whole integration in a day.", 0)
    tokens_per_month: int = declared(
        Cap(), "The most tokens of the whole integration in a month.", 0
    )
    delivery: str = declared(
        Choice(choices=("json", "show")),
        "How a reply is delivered when a request does not say; `show` for hand-made bots.",
        "json",
    )
    ai_api_key: str = declared(
        Secret(),
        "The key of an AI of the integration's own; without an `ai_base_url`, at OpenAI.",
        "",
    )
    ai_base_url: str | None = declared(
        Url(unset="`OPENAI_BASE_URL`, or OpenAI's beside an own `ai_api_key`"),
        "The server of an AI of the integration's own; it is never sent the shared key.",
        None,
    )
    enabled: bool = declared(Flag(), "Whether requests are accepted.", True)

    @property
    def host(self) -> str:
        """The account's own host, the only one to which its access token is sent."""
        return f"{self.subdomain}.{self.domain}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that may have signed a bot token, none when disabled."""
        return (self.secret_key, self.previous_secret_key) if self.enabled else ()

    def cap(self, name: str) -> int:
        """The cap of this name that applies; 0 for none."""
        value: int | None = getattr(self, name)
        if value is not None:
            return value
        return 0 if self.ai_api_key or self.ai_base_url else SHARED_KEY_REPLIES_PER_DAY


FIELDS = tuple(item.name for item in fields(Integration))
KINDS: dict[str, Kind] = {item.name: item.metadata["kind"] for item in fields(Integration)}
HELP: dict[str, str] = {item.name: item.metadata["help"] for item in fields(Integration)}
SECRETS = tuple(name for name in FIELDS if isinstance(KINDS[name], Secret))
CAPS = tuple(  # of the whole integration
    name for name, kind in KINDS.items() if isinstance(kind, Cap) and kind.scope == "integration"
)


def unknown_field(name: str) -> str:
    """What is said of a name that is no field: the one that was meant, else all."""
    meant = did_you_mean(name, FIELDS) or f"Fields are {', '.join(FIELDS)}."
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
