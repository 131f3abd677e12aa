"""One line per event, as text or JSON: ids, codes and durations, never contents.

    log_event(logger, "salesbot continued", job="wr-...", status=202, milliseconds=84)

Values are written as JSON, so a value can neither break a line nor forge another one.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

# Libraries that write URLs, headers or contents at INFO: only their warnings are of use here.
QUIET_LOGGERS = ("httpx2", "httpcore2", "openai", "urllib3", "rq.worker", "rq.scheduler", "rq.job")


def log_event(
    logger: logging.Logger, event: str, *, level: int = logging.INFO, **fields: Any
) -> None:
    """Write one event. `fields` are ids, codes and durations; None is left out."""
    if logger.isEnabledFor(level):
        known = {key: value for key, value in fields.items() if value is not None}
        logger.log(level, "%s", event, extra={"fields": known})


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO kommo_bridge.jobs salesbot continued status=202`."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record), record.levelname, record.name, _one_line(record.getMessage())]
        fields: dict[str, Any] = getattr(record, "fields", {})
        parts += [f"{key}={_value(value)}" for key, value in fields.items()]
        if record.exc_info:
            parts.append(f"traceback={json.dumps(self.formatException(record.exc_info))}")
        return " ".join(parts)


class JsonFormatter(logging.Formatter):
    """The same as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up_logging(level: str, format_name: str, stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (standard error) in one shape."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format_name == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _one_line(text: str) -> str:
    return json.dumps(text)[1:-1] if not text.isprintable() else text


def _value(value: Any) -> str:
    """A bare word stays bare; everything else is written as JSON on one line."""
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    plain = text.isprintable() and text and not set(text) & set(" =\"'")
    return text if plain else json.dumps(text)
