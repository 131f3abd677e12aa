"""Error reports to Sentry, or anything that speaks its protocol, when `SENTRY_DSN` is set.

What is logged as an error becomes a report: an unexpected error of the web, a failed job, a fault
of the worker. No customer's words: of a request only its route, no job arguments, no local
variables, no messages of foreign exceptions, no lines of foreign loggers.
"""

import logging
from typing import TYPE_CHECKING, Any

from kommo_bridge import __version__
from kommo_bridge.errors import SettingsError

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

OWN = "kommo_bridge"


def start_error_reports(dsn: str) -> None:
    """Report errors of this process from now on; they are sent beside the work.

    Raises:
        SettingsError: `SENTRY_DSN` is not a DSN.
    """
    # Here, not above: its import costs time that only its users should pay.
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.integrations.atexit import AtexitIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.dedupe import DedupeIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.flask import FlaskIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.logging import LoggingIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.rq import RqIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.threading import ThreadingIntegration  # noqa: PLC0415
    from sentry_sdk.utils import BadDsn  # noqa: PLC0415

    try:
        sentry_sdk.init(
            dsn=dsn,
            release=f"kommo_bridge@{__version__}",
            default_integrations=False,  # they would send arguments of the command line, and URLs
            auto_enabling_integrations=False,
            integrations=[
                FlaskIntegration(),
                RqIntegration(),
                LoggingIntegration(level=logging.INFO, event_level=logging.ERROR),
                ThreadingIntegration(),
                ExcepthookIntegration(),
                DedupeIntegration(),
                AtexitIntegration(callback=lambda *_: None),
            ],
            send_default_pii=False,
            include_local_variables=False,
            max_request_body_size="never",
            before_send=without_contents,
            before_breadcrumb=_own_lines,
        )
    except BadDsn:
        raise SettingsError("SENTRY_DSN is wrong: it is not a DSN as Sentry shows it.") from None


def without_contents(event: "Event", hint: "Hint") -> "Event":
    """Leave out all that may quote a customer or hold a secret."""
    event.pop("request", None)
    exception: Any = event.get("exception") or {}
    for value in exception.get("values", []):
        if not (value.get("module") or "").startswith(OWN):
            value["value"] = ""
        for frame in (value.get("stacktrace") or {}).get("frames", []):
            frame.pop("vars", None)
    source = event.get("logger")
    if source and not source.startswith(OWN):
        event["logentry"] = {"message": f"an error logged by {source}"}
        event["extra"] = {}
    record = hint.get("log_record")
    if record and (error := getattr(record, "fields", {}).get("error")):
        event["logentry"] = {"message": f"{record.getMessage()}: {error}"}  # one group each
    return event


def _own_lines(crumb: dict[str, Any], _hint: "Hint") -> dict[str, Any] | None:
    return crumb if str(crumb.get("category", "")).startswith(OWN) else None
