"""The weekly report as a message: plain text, and a table in simple HTML."""

from dataclasses import dataclass
from html import escape

from kommo_bridge.monitoring.week import MOST_GAPS, Row, Week, rows_of
from kommo_bridge.monitoring.week_words import WORDS


@dataclass(frozen=True)
class Message:
    """What is sent: `subject` is one line."""

    subject: str
    text: str
    html: str

    @property
    def parts(self) -> tuple[str, str, str]:
        """Subject, text and HTML."""
        return self.subject, self.text, self.html


def message_of(week: Week, name: str, language: str) -> Message:
    """The report of an integration in one of the languages of `WORDS`; English for any other."""
    words = WORDS.get(language, WORDS["en"])
    rows = [Row("", words.now, words.before), *rows_of(week, language)]
    title = words.title.format(name=name, first=week.first, last=week.last)
    gaps = list(week.gaps[:MOST_GAPS])
    asked = [f"{words.gaps}:", *(f"- {one}" for one in gaps)] if gaps else []
    text = "\n".join([title, "", *aligned(rows), *([""] if asked else []), *asked, ""])
    return Message(title, text, _html(title, rows, words.gaps, gaps))


def aligned(rows: list[Row]) -> list[str]:
    """The rows as columns."""
    label = max(len(row.label) for row in rows)
    now = max(len(row.now) for row in rows)
    return [f"{row.label:<{label}}  {row.now:<{now}}  {row.before}".rstrip() for row in rows]


def _html(title: str, rows: list[Row], asked: str, gaps: list[str]) -> str:
    cells = "".join(
        f"<tr><th align=left>{escape(row.label)}</th><td>{escape(row.now)}</td>"
        f"<td>{escape(row.before)}</td></tr>"
        for row in rows
    )
    items = "".join(f"<li>{escape(one)}</li>" for one in gaps)
    listed = f"<h2>{escape(asked)}</h2><ul>{items}</ul>" if gaps else ""
    return f"<h1>{escape(title)}</h1><table cellpadding=6>{cells}</table>{listed}"
