"""`flask widget`: build the archive to upload to Kommo, and check one."""

from pathlib import Path

import click
from flask.cli import AppGroup

from kommo_bridge.errors import ArchiveError
from kommo_bridge.widget.build import (
    SHARED_WIDGET,
    WIDGET_REQUEST_PATH,
    ArchiveFinding,
    build_archive,
    check_archive,
    source_version,
)

DEFAULT_ARCHIVE = Path("dist/kommo-bridge-widget.zip")


def widget_group(public_url: str | None) -> AppGroup:
    """The group `flask widget`, for a bridge at `PUBLIC_URL`."""
    group = AppGroup("widget", help="Build and check the widget that is uploaded to Kommo.")
    _build_command(group, public_url)
    _check_command(group)
    return group


def _build_command(group: AppGroup, public_url: str | None) -> None:
    @group.command()
    @click.option("--url", help="Public address of this bridge. Default: PUBLIC_URL.")
    @click.option(
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        default=DEFAULT_ARCHIVE,
        show_default=True,
        help="Where the archive is written.",
    )
    @click.option(
        "--version", help="E.g. 1.0.1. Default: the version in widgets/shared/manifest.json."
    )
    def build(url: str | None, output: Path, version: str | None) -> None:
        """Build the archive. Kommo wants a greater version at every upload."""
        address = widget_request_url(url or known_url(public_url))
        try:
            version = version or source_version(SHARED_WIDGET)
            archive = build_archive(SHARED_WIDGET, address, version)
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(archive)
        except (ArchiveError, OSError) as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{output}: version {version}, {len(archive) / 1024:.0f} KB")
        click.echo(f"Widget requests go to {address}")
        click.echo(
            f"If Kommo has version {version} already, add --version {_next_version(version)}"
        )


def _check_command(group: AppGroup) -> None:
    @group.command()
    @click.argument(
        "archive",
        metavar="[ZIP]",
        type=click.Path(path_type=Path),
        default=DEFAULT_ARCHIVE,
        required=False,
    )
    def check(archive: Path) -> None:
        """Check an archive by the rules of Kommo, one line a rule; exit status 1 on a fault."""
        try:
            findings = check_archive(archive.read_bytes())
        except OSError as error:
            text = f"{archive}: cannot be read: {error.strerror}. Build one: flask widget build."
            raise click.ClickException(text) from error
        for finding in findings:
            click.echo(_line(finding))
        faults = sum(not finding.ok for finding in findings)
        click.echo(
            f"{archive}: {f'{faults} of ' if faults else 'all '}{len(findings)} rules", nl=False
        )
        click.echo(" broken" if faults else " kept")
        if faults:
            raise click.exceptions.Exit(1)


def widget_request_url(public_url: str) -> str:
    """The full address for the block: given the bridge's own, or already the full one."""
    base = public_url.strip().rstrip("/").removesuffix(WIDGET_REQUEST_PATH)
    return base + WIDGET_REQUEST_PATH


def known_url(public_url: str | None) -> str:
    """`PUBLIC_URL`, or the hint to give another address."""
    if not public_url:
        raise click.ClickException(
            "The address of this bridge is not known: give --url https://bridge.example.com "
            "or set PUBLIC_URL."
        )
    return public_url


def _next_version(version: str) -> str:
    """1.0.9 -> 1.0.10."""
    head, _, last = version.rpartition(".")
    return f"{head}.{int(last) + 1}"


def _line(finding: ArchiveFinding) -> str:
    state = "ok   " if finding.ok else "FAULT"
    see = "" if finding.ok else f" ({finding.source})"
    return f"{state}  {finding.rule:<22}  {finding.message}{see}"
