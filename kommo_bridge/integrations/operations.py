"""What a step may do to the tables: plain data that both databases can carry out."""

from collections.abc import Mapping
from dataclasses import dataclass

# `type` of a column: str, int (a whole number or a flag), float or bytes.
Type = type[str] | type[int] | type[float] | type[bytes]


@dataclass(frozen=True)
class CreateTable:
    """A new table; its key is `tables.KEYS[table]`, every other column may be null."""

    table: str
    columns: Mapping[str, Type]


@dataclass(frozen=True)
class AddColumns:
    """New columns: each with its default and never null, or with a type alone and null at first."""

    table: str
    columns: Mapping[str, str | int | float | Type]


@dataclass(frozen=True)
class MakeOptional:
    """A column may be null from now on, and is so by default."""

    table: str
    column: str


@dataclass(frozen=True)
class Run:
    """One statement in the SQL of both, such as `create index`."""

    statement: str


Operation = CreateTable | AddColumns | MakeOptional | Run
