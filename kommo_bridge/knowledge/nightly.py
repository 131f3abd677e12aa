"""The nightly look at all pages, one after another: RQ's job calls it."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from kommo_bridge.errors import BridgeError, StoreError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.knowledge.knowledge import Knowledge
from kommo_bridge.telemetry.incidents import PAGES_FAIL, Incidents
from kommo_bridge.telemetry.logs import error_text, log_event

# When it begins, UTC.
HOUR = 3

logger = logging.getLogger(__name__)


def night_of(now: datetime) -> str:
    """The name of the night that a moment belongs to: the day on which it began to refresh."""
    return (now.astimezone(UTC) - timedelta(hours=HOUR)).date().isoformat()


def refresh_all(
    integrations: Iterable[Integration], knowledge: Knowledge, incidents: Incidents
) -> int:
    """Look at every page that is due, of those that are served; returns how many there were."""
    count = 0
    for integration in (one for one in integrations if one.enabled):
        try:
            count += _refresh(integration, knowledge)
            note_failing(integration, knowledge, incidents)
        except StoreError as error:  # the others may be read again by then
            _log(integration, "pages not refreshed", error=error_text(error))
    return count


def note_failing(integration: Integration, knowledge: Knowledge, incidents: Incidents) -> None:
    """Tell the watch whether a page of this integration has failed for three days.

    Raises:
        StoreError: The store is away.
    """
    now = datetime.now(UTC)
    failing = any(one.needs_an_alert(now) for one in knowledge.all(integration))
    name = f"{integration.subdomain}/{integration.integration_id}"
    if failing:
        incidents.note(name, bad=(PAGES_FAIL,))
    else:
        incidents.note(name, good=(PAGES_FAIL,))


def _refresh(integration: Integration, knowledge: Knowledge) -> int:
    now = datetime.now(UTC)
    due = [one for one in knowledge.all(integration) if one.is_due(now)]
    for source in due:
        try:
            looked = knowledge.refresh(integration, source)
        except StoreError:
            raise
        except BridgeError as error:
            _log(integration, "page not refreshed", source=source.number, error=str(error))
            continue
        failed = looked.result == "failed"
        _log(
            integration,
            "page not refreshed" if failed else "page refreshed",
            source=source.number,
            result=looked.result,
            error=looked.source.problem or None,
        )
    return len(due)


def _log(integration: Integration, event: str, **fields: Any) -> None:
    log_event(logger, event, subdomain=integration.subdomain, **fields)
