"""The shape of the table, in numbered steps that are applied in order and recorded."""

from typing import Any

from sqlite_utils import Database, Migrations

from kommo_bridge.integrations.integration import KEY_COLUMNS
from kommo_bridge.integrations.sentences import HANDOFF_TEXT

TABLE = "integrations"

migrations = Migrations("kommo_bridge")


@migrations()
def m001_create_integrations(db: Database) -> None:
    """The first shape of the table."""
    columns: dict[str, Any] = {
        "integration_id": str,
        "subdomain": str,
        "account_id": int,
        "domain": str,
        "name": str,
        "secret_key": str,
        "previous_secret_key": str,
        "access_token": str,
        "instructions": str,
        "model": str,
        "temperature": float,
        "history": int,
        "fallback_text": str,
        "no_text_text": str,
        "delivery": str,
        "ai_api_key": str,
        "ai_base_url": str,
        "enabled": int,
        "created_at": str,
        "updated_at": str,
    }
    db.table(TABLE).create(columns, pk=KEY_COLUMNS, not_null=set(KEY_COLUMNS))


@migrations()
def m002_add_conversations(db: Database) -> None:
    """Memory, bursts, handoff and caps."""
    table = db.table(TABLE)
    numbers = {
        "history_days": 30, "burst_seconds": 2.0, "handoff_hours": 12.0, "handoff_tool": 1,
        "replies_per_hour": 30, "replies_per_day": 0, "tokens_per_day": 0, "tokens_per_month": 0,
    }  # fmt: skip
    for name, value in numbers.items():
        table.add_column(name, type(value), not_null_default=value)
    for name, text in {
        "handoff_text": HANDOFF_TEXT, "handoff_phrases": "", "pause_tag": ""
    }.items():  # fmt: skip
        table.add_column(name, str, not_null_default=text)


@migrations()
def m003_cap_replies_by_default(db: Database) -> None:
    """`replies_per_day` may be empty: then its default applies.

    Until now 0 was the default: unless tokens have a cap, nobody chose it.
    """
    not_null: Any = {"replies_per_day": False}
    db.table(TABLE).transform(not_null=not_null, defaults={"replies_per_day": None})
    db.execute(
        f"update {TABLE} set replies_per_day = null "  # noqa: S608
        "where replies_per_day = 0 and tokens_per_day = 0 and tokens_per_month = 0"
    )


@migrations()
def m004_add_assistant(db: Database) -> None:
    """Knowledge, hours, modes, a second AI and money.

    Integrations that are there say nothing new to their customers: `disclosure` is empty for them.
    """
    table = db.table(TABLE)
    values = {
        "knowledge_tokens": 20_000, "lead_fields": "", "facts_check": "warn",
        "time_zone": "UTC", "open_hours": "", "closed_days": "", "disclosure": "",
        "handoff_note": 1, "handoff_tag": "", "mode": "live", "test_tag": "ai-test",
        "fallback_ai_api_key": "", "currency": "USD", "money_per_day": 0.0, "money_per_month": 0.0,
    }  # fmt: skip
    for name, value in values.items():
        table.add_column(name, type(value), not_null_default=value)
    empty: dict[str, Any] = {
        "handoff_task_minutes": int, "fallback_ai_base_url": str, "fallback_model": str,
        "price_input": float, "price_cached_input": float, "price_output": float,
    }  # fmt: skip
    for name, kind in empty.items():
        table.add_column(name, kind)
