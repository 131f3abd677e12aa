"""XLSX files: every visible sheet, with its values as a reader of the sheet sees them."""

import io
import re
import zipfile
from datetime import datetime, time
from typing import Any

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.block import Block
from kommo_bridge.knowledge.tables import table_blocks

# What the parts of the archive say they unpack to; zipfile never unpacks more than that.
MAX_UNPACKED_BYTES = 100 * 1024 * 1024
MAX_ROWS = 20_000
MAX_COLUMNS = 60
BROKEN = "The XLSX file cannot be read: open it in a spreadsheet and save it again."

DECIMALS = re.compile(r"0\.(0+)")
CURRENCY = re.compile(r"\[\$([^\]-]+)[^\]]*\]|\"([^\"]*)\"|([$€£₽₺¥])")


def read_xlsx(data: bytes) -> list[Block]:
    """The rows of all visible sheets.

    Raises:
        KnowledgeError: It is encrypted, broken, or unpacks to too much.
    """
    _check_size(data)
    import openpyxl  # noqa: PLC0415

    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        named = len(sheets) > 1
        return [
            block
            for sheet in sheets
            for block in table_blocks(_rows(sheet), sheet.title if named else "")
        ]
    except KnowledgeError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # openpyxl lets through whatever its parsers raise
        raise KnowledgeError(BROKEN) from error


def _check_size(data: bytes) -> None:
    if data.startswith(b"\xd0\xcf\x11\xe0"):  # how Office stores what has a password, and .xls
        raise KnowledgeError(
            "The spreadsheet has a password or is an old .xls file: save it as .xlsx without one."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise KnowledgeError(BROKEN) from error
    if size > MAX_UNPACKED_BYTES:
        raise KnowledgeError(
            "The XLSX file unpacks to more than 100 MiB: save the sheet that matters as CSV."
        )


def _rows(sheet: Any) -> list[list[str]]:
    # Sheets that say a wrong size of themselves would be read up to that size.
    sheet.reset_dimensions()
    found = []
    for number, row in enumerate(sheet.iter_rows(max_col=MAX_COLUMNS)):
        if number >= MAX_ROWS:
            raise KnowledgeError(
                f"A sheet has more than {MAX_ROWS:,} rows: keep the rows that customers ask about."
            )
        found.append([shown_value(cell.value, cell.number_format or "") for cell in row])
    return found


def shown_value(value: Any, number_format: str = "") -> str:
    """A cell's value as the sheet shows it: decimals, percent, currency; dates as ISO.

    Args:
        number_format: Excel's, such as `#,##0.00 [$€-407]`.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(value, number_format.partition(";")[0])
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d" if value.time() == time() else "%Y-%m-%d %H:%M")
    if isinstance(value, time):
        return value.strftime("%H:%M")
    return "" if value is None else str(value)


def _number(value: float, number_format: str) -> str:
    if "%" in number_format:
        return f"{value * 100:.2f}".rstrip("0").rstrip(".") + "%"
    if found := DECIMALS.search(number_format):
        text = f"{value:.{len(found[1])}f}"
    else:
        text = f"{value:.10g}" if isinstance(value, float) else str(value)
    sign = CURRENCY.search(number_format)
    name = next(filter(None, sign.groups()), "").strip() if sign else ""
    return f"{text} {name}" if name else text
