"""What an AI's tokens cost, by the prices of an integration. Pure.

Money is counted in millionths of the currency: a price for a million tokens, times the tokens, is
just that, and Redis adds whole numbers without losing any.
"""

from dataclasses import dataclass

from kommo_bridge.integrations.integration import Integration

MILLIONTHS = 1_000_000
UNCOUNTED = "money is not counted, so its cap is never reached: set price_input and price_output"


@dataclass(frozen=True)
class Paid:
    """The tokens of one question.

    Attributes:
        tokens: All of them, 0 where the AI does not say.
        prompt, cached: Those that were asked, and those of them found in the provider's cache.
    """

    tokens: int = 0
    prompt: int = 0
    cached: int = 0


def has_prices(integration: Integration) -> bool:
    """Whether money can be counted."""
    return integration.price_input is not None and integration.price_output is not None


def uncounted_money(integration: Integration) -> bool:
    """Whether it has a cap on money that is never reached."""
    capped = bool(integration.money_per_day or integration.money_per_month)
    return capped and not has_prices(integration)


def cost(integration: Integration, paid: Paid) -> int:
    """In millionths of the integration's currency; 0 when it has no prices.

    An AI that does not tell prompt and reply apart is counted at the price of a reply.
    """
    asked, written = integration.price_input, integration.price_output
    if asked is None or written is None:
        return 0
    cached = asked if integration.price_cached_input is None else integration.price_cached_input
    fresh = paid.prompt - paid.cached
    return round(fresh * asked + paid.cached * cached + (paid.tokens - paid.prompt) * written)


def shown(millionths: int, currency: str = "") -> str:
    """Such as `3.27 USD`; a little is never shown as nothing."""
    amount = millionths / MILLIONTHS
    text = f"{amount:.2f}" if amount >= 0.01 or not millionths else f"{amount:.6f}"  # noqa: PLR2004
    return f"{text} {currency}".strip()
