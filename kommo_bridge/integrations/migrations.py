"""The shape of the tables, in numbered steps that both databases apply in order and record.

A step is plain data. Never change one that was released.
"""

from kommo_bridge.integrations.operations import (
    AddColumns,
    CreateTable,
    MakeOptional,
    Operation,
    Run,
)
from kommo_bridge.integrations.sentences import HANDOFF_TEXT
from kommo_bridge.integrations.tables import INTEGRATIONS, SCENARIOS, SOURCES, VARIABLE, VERSIONS

NAME = "kommo_bridge"  # of these steps, in SQLite's record of what was applied
STEPS: dict[str, tuple[Operation, ...]] = {
    "m001_create_integrations": (
        CreateTable(
            INTEGRATIONS,
            {
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
            },
        ),
    ),
    # Memory, bursts, handoff and caps.
    "m002_add_conversations": (
        AddColumns(
            INTEGRATIONS,
            {
                "history_days": 30,
                "burst_seconds": 2.0,
                "handoff_hours": 12.0,
                "handoff_tool": 1,
                "replies_per_hour": 30,
                "replies_per_day": 0,
                "tokens_per_day": 0,
                "tokens_per_month": 0,
                "handoff_text": HANDOFF_TEXT,
                "handoff_phrases": "",
                "pause_tag": "",
            },
        ),
    ),
    # `replies_per_day` may be empty: then its default applies. Until now 0 was the default: unless
    # tokens have a cap, nobody chose it.
    "m003_cap_replies_by_default": (
        MakeOptional(INTEGRATIONS, "replies_per_day"),
        Run(
            f"update {INTEGRATIONS} set replies_per_day = null "  # noqa: S608
            "where replies_per_day = 0 and tokens_per_day = 0 and tokens_per_month = 0"
        ),
    ),
    # Knowledge, hours, modes, a second AI and money. Integrations that are there say nothing new to
    # their customers: `disclosure` is empty for them.
    "m004_add_assistant": (
        AddColumns(
            INTEGRATIONS,
            {
                "knowledge_tokens": 20_000,
                "lead_fields": "",
                "facts_check": "warn",
                "time_zone": "UTC",
                "open_hours": "",
                "closed_days": "",
                "disclosure": "",
                "handoff_note": 1,
                "handoff_tag": "",
                "mode": "live",
                "test_tag": "ai-test",
                "fallback_ai_api_key": "",
                "currency": "USD",
                "money_per_day": 0.0,
                "money_per_month": 0.0,
                "handoff_task_minutes": int,
                "fallback_ai_base_url": str,
                "fallback_model": str,
                "price_input": float,
                "price_cached_input": float,
                "price_output": float,
            },
        ),
    ),
    # The versions of the instructions, and what KOMMO_INTEGRATIONS has named.
    "m005_keep_versions": (
        CreateTable(
            VERSIONS,
            {
                "integration_id": str,
                "subdomain": str,
                "number": int,
                "text": str,
                "who": str,
                "at": str,
            },
        ),
        CreateTable(VARIABLE, {"integration_id": str, "subdomain": str, "state": str}),
    ),
    "m006_add_owner": (AddColumns(INTEGRATIONS, {"owner_email": "", "owner_webhook_url": ""}),),
    # Written conversations that are tried with an integration's assistant.
    "m007_create_scenarios": (
        CreateTable(
            SCENARIOS,
            {
                "integration_id": str,
                "subdomain": str,
                "scenario_id": str,
                "place": int,
                "body": str,
                "made_from": str,
                "saved_at": str,
            },
        ),
    ),
    "m008_create_sources": (
        CreateTable(
            SOURCES,
            {
                "integration_id": str,
                "subdomain": str,
                "source": int,
                "title": str,
                "kind": str,
                "origin": str,
                "content": str,
                "characters": int,
                "passages": int,
                "fingerprint": str,
                "changed_at": str,
                "checked_at": str,
                "etag": str,
                "last_modified": str,
                "failing_since": str,
                "problem": str,
            },
        ),
    ),
}
