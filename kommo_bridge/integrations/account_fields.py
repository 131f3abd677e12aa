"""For which account an integration speaks, and what proves that it does."""

from dataclasses import dataclass

from kommo_bridge.integrations.declared import declared
from kommo_bridge.integrations.kinds import Choice, Flag, Secret, Text, WholeNumber, Word

SUBDOMAIN = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAINS = ("kommo.com", "amocrm.com", "amocrm.ru")


@dataclass(frozen=True)
class AccountFields:
    """For which account an integration speaks, and what proves that it does."""

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
    delivery: str = declared(
        Choice(choices=("json", "show")),
        "How a reply is delivered when a request does not say; `show` for hand-made bots.",
        "json",
    )
    enabled: bool = declared(Flag(), "Whether requests are accepted.", True)
