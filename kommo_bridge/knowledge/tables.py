"""Which row of a table is its header, and which rows are headings of a section."""

import re
from collections.abc import Iterable, Sequence

from kommo_bridge.knowledge.block import BETWEEN_HEADINGS, Block

MAX_HEADER_CELL = 40
STARTS_LIKE_A_VALUE = re.compile(r"\W*\d")

Row = tuple[str, ...]


def table_blocks(rows: Iterable[Sequence[str]], heading: str) -> list[Block]:
    """The blocks of a table; a row with a single cell is the heading of those below it."""
    clean = [row for row in map(_clean, rows) if any(row)]
    if not clean:
        return []
    if max(map(_filled, clean)) < 2:  # noqa: PLR2004  one column is no table
        return [Block(heading, "\n".join("".join(row) for row in clean))]
    return _Sections(heading).of(clean)


class _Sections:
    """Goes down the rows of one table."""

    def __init__(self, heading: str) -> None:
        self._top = heading
        self._heading = heading
        self._header: Row | None = None
        self._rows: list[Row] = []
        self._lonely: list[str] = []
        self._done: list[Block] = []

    def of(self, rows: list[Row]) -> list[Block]:
        for number, row in enumerate(rows):
            if _filled(row) == 1:
                self._lonely.append("".join(row))
                continue
            self._end_lonely()
            has_more = number + 1 < len(rows)
            if self._header is None:
                self._header = row if has_more and is_header(row) else ()
                if self._header:
                    continue
            if row != self._header:
                self._rows.append(row)
        self._end_rows()
        if self._lonely:  # nothing stands below them: they are notes
            self._done.append(Block(self._top, "\n".join(self._lonely)))
        return self._done

    def _end_lonely(self) -> None:
        """Rows of one cell just above this one: the last is its heading, the others are notes."""
        if not self._lonely:
            return
        self._end_rows()
        *notes, last = self._lonely
        if notes:
            self._done.append(Block(self._top, "\n".join(notes)))
        self._heading = BETWEEN_HEADINGS.join(filter(None, (self._top, last)))
        self._lonely = []

    def _end_rows(self) -> None:
        if self._rows:
            header = self._header or ()
            self._done.append(Block(self._heading, header=header, rows=tuple(self._rows)))
            self._rows = []


def is_header(row: Sequence[str]) -> bool:
    """Whether a row names columns: short words, not sentences and not values."""
    cells = [cell for cell in row if cell]
    return all(
        len(cell) <= MAX_HEADER_CELL
        and cell[-1] not in ".?!"
        and not STARTS_LIKE_A_VALUE.match(cell)
        for cell in cells
    )


def row_text(header: Sequence[str], row: Sequence[str]) -> str:
    """One row as a sentence of its own: each value with the name of its column."""
    if not header:
        return " | ".join(filter(None, row))
    names = [*header, *[""] * (len(row) - len(header))]
    pairs = zip(names, row, strict=False)
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)


def _clean(row: Sequence[str]) -> Row:
    cells = [" ".join(cell.split()) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return tuple(cells)


def _filled(row: Row) -> int:
    return sum(map(bool, row))
