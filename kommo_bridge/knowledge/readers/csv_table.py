"""CSV and TSV files, whatever their separator and encoding."""

import csv

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.block import Block
from kommo_bridge.knowledge.readers.text import read_as_text
from kommo_bridge.knowledge.tables import table_blocks

SEPARATORS = ";\t,|"
LOOKED_AT = 20


def read_csv(data: bytes) -> list[Block]:
    """The rows of a CSV file.

    Raises:
        KnowledgeError: It is not text, or its quotes do not match.
    """
    lines = read_as_text(data).split("\n")
    if lines[0].lower().startswith("sep=") and len(lines[0].strip()) == len("sep=;"):
        separator, lines = lines[0][4], lines[1:]  # Excel's own hint
    else:
        separator = _separator(lines)
    try:
        return table_blocks(csv.reader(lines, delimiter=separator), "")
    except csv.Error as error:
        raise KnowledgeError(
            "The CSV file cannot be read: open it in a spreadsheet and save it again."
        ) from error


def _separator(lines: list[str]) -> str:
    """The one that parts the first lines into the most columns, as evenly as possible."""
    some = [line for line in lines if line.strip()][:LOOKED_AT]

    def columns(separator: str) -> tuple[int, int]:
        try:
            widths = [len(row) for row in csv.reader(some, delimiter=separator)]
        except csv.Error:
            return 0, 0
        usual = max(set(widths), key=widths.count, default=0)
        return (widths.count(usual) if usual > 1 else 0), usual

    return max(SEPARATORS, key=columns)
