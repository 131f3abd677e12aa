"""One line per event, as text or JSON: ids, codes and durations, never contents.

    log_event(logger, "salesbot continued", job="wr-...", status=202, milliseconds=84)

Values are written as JSON, so a value can neither break a line nor forge another one. Within
`request_logged` every line, of libraries too, has the id of the request it belongs to, and the
subdomain of its account. A traceback shows where and what kind; messages of foreign exceptions,
which may quote a customer, are left out.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

# Libraries that write URLs, headers or contents at INFO: only their warnings are of use here.
QUIET_LOGGERS = ("httpx2", "httpcore2", "openai", "urllib3", "rq.worker", "rq.scheduler", "rq.job")

BARE_WORD = re.compile(r"[^ =\"']+")

_request: ContextVar[dict[str, str]] = ContextVar("request", default={})  # noqa: B039


def log_event(
    logger: logging.Logger, event: str, *, level: int = logging.INFO, **fields: Any
) -> None:
    """Write one event. `fields` are ids, codes and durations; None is left out."""
    if logger.isEnabledFor(level):
        known = {key: value for key, value in fields.items() if value is not None}
        logger.log(level, "%s", event, extra={"fields": known})


@contextmanager
def request_logged(request_id: str, subdomain: str = "") -> Iterator[None]:
    """Mark all lines of this thread with the request's id and account, until the block ends."""
    marks = {"subdomain": subdomain, "request": request_id}
    token = _request.set({name: value for name, value in marks.items() if value})
    try:
        yield
    finally:
        _request.reset(token)


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO kommo_bridge.jobs salesbot continued status=202`."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record), record.levelname, record.name, _one_line(record.getMessage())]
        parts += [f"{key}={_value(value)}" for key, value in _fields(record).items()]
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
        line |= _fields(record)
        return json.dumps(line, default=str)


def set_up_logging(level: str, format_name: str, stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (standard error) in one shape."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format_name == "json" else TextFormatter())
    # Not looked up for each record, since no line of ours shows it:
    # https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("urllib3.connection").setLevel(logging.CRITICAL)  # warns with URLs
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = dict(getattr(record, "fields", {}))
    fields |= {name: value for name, value in _request.get().items() if name not in fields}
    if record.exc_info and record.exc_info[1]:
        fields["traceback"] = _traceback(record.exc_info[1])
    return fields


def _traceback(error: BaseException) -> str:
    """The innermost cause first, as Python does it."""
    parts: list[str] = []
    current: BaseException | None = error
    while current:
        lines = traceback.format_tb(current.__traceback__)
        parts.insert(0, "".join([*lines, error_text(current)]))
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)
    return "\n\n".join(parts)


def error_text(error: BaseException) -> str:
    """Its kind, and its words only where they are ours."""
    kind = type(error)
    own = kind.__module__.startswith("kommo_bridge")
    return f"{kind.__name__}: {error}" if own else kind.__name__


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
    return text if BARE_WORD.fullmatch(text) and text.isprintable() else json.dumps(text)
