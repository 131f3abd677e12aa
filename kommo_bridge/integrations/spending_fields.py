"""Which AI is asked, what it costs, and how much of it there may be."""

from dataclasses import dataclass

from kommo_bridge.integrations.declared import declared
from kommo_bridge.integrations.kinds import Cap, MoneyCap, Price, Secret, Text, Url, Word

# A default cap: anyone who can sign requests of one integration spends the shared AI key.
SHARED_KEY_REPLIES_PER_DAY = 1000


@dataclass(frozen=True)
class SpendingFields:
    """Which AI is asked, what it costs, and how much of it there may be."""

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
    fallback_ai_api_key: str = declared(
        Secret(),
        "The key of the second AI, which is asked when the first one fails or is slow.",
        "",
    )
    fallback_ai_base_url: str | None = declared(
        Url(unset="`FALLBACK_OPENAI_BASE_URL`, or OpenAI's beside an own `fallback_ai_api_key`"),
        "The server of the second AI.",
        None,
    )
    fallback_model: str | None = declared(
        Text(unset="`FALLBACK_OPENAI_MODEL`, or the first AI's model"),
        "The model of the second AI.",
        None,
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
    price_input: float | None = declared(
        Price(unset="money is not counted"), "The price of a million tokens of prompt.", None
    )
    price_cached_input: float | None = declared(
        Price(unset="`price_input`"),
        "The price of a million tokens of prompt that the AI had in its cache.",
        None,
    )
    price_output: float | None = declared(
        Price(unset="money is not counted"), "The price of a million tokens of reply.", None
    )
    currency: str = declared(
        Word(pattern="[A-Z]{3}", rule="be three capital letters such as USD"),
        "The currency of the prices.",
        "USD",
    )
    money_per_day: float = declared(
        MoneyCap(), "The most money of the whole integration in a day; it needs the prices.", 0.0
    )
    money_per_month: float = declared(
        MoneyCap(), "The most money of the whole integration in a month; it needs the prices.", 0.0
    )
