"""What all commands share: tables that line up, and errors as one sentence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from redis.exceptions import RedisError

from kommo_bridge.errors import BridgeError


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Our errors as one sentence and exit status 1, not as a traceback."""
    try:
        yield
    except BridgeError as error:
        raise click.ClickException(str(error)) from None
    except RedisError as error:
        raise click.ClickException(
            f"Redis cannot be reached ({type(error).__name__}): is it running, and is REDIS_URL "
            "right?"
        ) from None


def table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Columns that line up."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()
