"""One event, one line: nothing that is logged can break it or forge another."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommo_bridge.errors import AssistantError
from kommo_bridge.telemetry.logs import (
    JsonFormatter,
    TextFormatter,
    log_event,
    request_logged,
    set_up_logging,
)

NASTY = [
    "a\nb",
    "a\r\nERROR forged",
    "\x1b[31m",
    "\x9b31m",
    "\u2028",
    "\x85",
    "\x00",
    "\ud800",
    '"',
]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def written(format_name: str, event: str, **fields: Any) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    set_up_logging("INFO", format_name, stream)
    log_event(logging.getLogger("test"), event, **fields)
    stream.seek(0)
    return stream.read()


def record_of(event: str, **fields: Any) -> logging.LogRecord:
    record = logging.LogRecord("test", logging.INFO, "", 0, "%s", (event,), None)
    record.fields = fields
    return record


def test_a_text_line_reads_from_left_to_right() -> None:
    line = written("text", "salesbot continued", status=202, job="wr-1", none=None, reason="a b")

    assert line.endswith('Z INFO test salesbot continued status=202 job=wr-1 reason="a b"\n')


def test_a_json_line_holds_the_same() -> None:
    line = json.loads(written("json", "salesbot continued", status=202, job="wr-1", none=None))

    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "logger": "test",
        "event": "salesbot continued",
        "status": 202,
        "job": "wr-1",
    }


@pytest.mark.parametrize("format_name", ["text", "json"])
@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_breaks_the_line(format_name: str, nasty: str) -> None:
    line = written(format_name, f"event {nasty}", value=nasty)

    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    assert line.endswith("\n")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_traceback_stays_on_the_line(formatter: logging.Formatter) -> None:
    record = record_of("failed")
    try:
        int("two\nlines")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)

    line = formatter.format(record)

    assert line.isprintable()
    assert "test_a_traceback_stays_on_the_line" in line
    assert "ValueError" in line


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_traceback_tells_our_words_and_the_kinds_of_others(formatter: logging.Formatter) -> None:
    """What a foreign exception says may quote a customer."""
    record = record_of("failed")
    error = AssistantError("the AI answered nonsense", permanent=True)
    error.__cause__ = KeyError("a customer's words")
    record.exc_info = (AssistantError, error, None)

    line = formatter.format(record)

    assert line.index("KeyError") < line.index("AssistantError: the AI answered nonsense")
    assert "words" not in line


@pytest.mark.parametrize("format_name", ["text", "json"])
def test_lines_carry_the_request_they_are_about(format_name: str) -> None:
    with request_logged("0123456789abcdef"):
        within = written(format_name, "salesbot continued")
    after = written(format_name, "salesbot continued")

    assert "0123456789abcdef" in within
    assert "request" not in after


@given(st.text(), st.text())
def test_whatever_is_logged_stays_on_one_printable_line(event: str, value: str) -> None:
    record = record_of(event, value=value)

    text = TextFormatter().format(record)
    line = json.loads(JsonFormatter().format(record))

    assert text.isprintable()
    text.encode()
    assert (line["event"], line["value"]) == (event, value)


def test_libraries_that_tell_contents_are_quiet() -> None:
    stream = io.StringIO()
    set_up_logging("DEBUG", "text", stream)

    logging.getLogger("openai").info("a customer's words")
    logging.getLogger("urllib3.connectionpool").debug("a URL")

    assert stream.getvalue() == ""
