"""`flask widget build` and `flask widget check`, run as an operator runs them."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskCliRunner

from kommo_bridge.cli.widget import widget_group

PUBLIC_URL = "https://bridge.example.com"
WIDGET_REQUEST_URL = f"{PUBLIC_URL}/api/kommo/kommo/widget-request"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def runner(public_url: str | None = PUBLIC_URL) -> FlaskCliRunner:
    app = Flask("test")
    app.cli.add_command(widget_group(public_url))
    return app.test_cli_runner()


def run(*arguments: str, public_url: str | None = PUBLIC_URL) -> Result:
    return runner(public_url).invoke(args=["widget", *arguments])


def built(name: str = "dist/kommo-bridge-widget.zip") -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(Path(name).read_bytes()))


def test_build_writes_an_archive_that_check_finds_whole() -> None:
    build = run("build")
    check = run("check")

    assert (build.exit_code, check.exit_code) == (0, 0), build.output + check.output
    assert WIDGET_REQUEST_URL in build.output
    assert WIDGET_REQUEST_URL in built().read("script.js").decode()
    assert check.output.splitlines()[-1].startswith("dist/kommo-bridge-widget.zip: all ")


def test_build_tells_how_to_raise_the_version_at_the_next_upload() -> None:
    result = run("build", "--version", "1.2.9")

    assert json.loads(built().read("manifest.json"))["widget"]["version"] == "1.2.9"
    assert "If Kommo has version 1.2.9 already, add --version 1.2.10" in result.output


@pytest.mark.parametrize(
    "url", ["https://other.example.com", "https://other.example.com/", " https://other.example.com"]
)
def test_build_prefers_the_url_of_the_command_line(url: str) -> None:
    run("build", "--url", url, "--output", "deep/down/w.zip", public_url=None)

    script = built("deep/down/w.zip").read("script.js").decode()
    assert "'https://other.example.com/api/kommo/kommo/widget-request'" in script


def test_build_takes_the_full_address_as_well() -> None:
    run("build", "--url", WIDGET_REQUEST_URL)

    assert f"'{WIDGET_REQUEST_URL}'" in built().read("script.js").decode()


def test_build_without_any_url_says_what_to_give() -> None:
    result = run("build", public_url=None)

    assert result.exit_code == 1
    assert "--url" in result.output
    assert "PUBLIC_URL" in result.output


@pytest.mark.parametrize(
    "arguments",
    [("--url", "http://bridge.example.com"), ("--version", "1.0"), ("--output", "taken/w.zip")],
)
def test_build_refuses_in_one_clear_line(arguments: tuple[str, str]) -> None:
    Path("taken").write_text("a file where a folder is needed")

    result = run("build", *arguments)

    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert not Path("dist").exists()


def test_check_shows_one_aligned_line_a_rule_and_fails_on_a_fault() -> None:
    run("build", "--output", "w.zip")
    with zipfile.ZipFile("w.zip", "a") as archive:
        archive.writestr(".DS_Store", b"")

    result = run("check", "w.zip")

    *lines, summary = result.output.splitlines()
    faults = [line for line in lines if line.startswith("FAULT")]
    assert result.exit_code == 1
    assert len(faults) == 1
    assert "zip.stray" in faults[0]
    assert ".DS_Store: does not belong" in faults[0]
    assert "https://developers.kommo.com/docs/structure-widget" in faults[0]
    assert {line.index(line.split(maxsplit=2)[2]) for line in lines} == {31}
    assert summary == f"w.zip: 1 of {len(lines)} rules broken"


def test_check_of_something_that_is_no_zip_is_a_fault() -> None:
    Path("w.zip").write_bytes(b"not a zip")

    result = run("check", "w.zip")

    assert result.exit_code == 1
    assert "This is not a zip that can be read" in result.output


@pytest.mark.parametrize("path", ["missing.zip", "."])
def test_check_of_a_file_that_cannot_be_read_says_so(path: str) -> None:
    result = run("check", path)

    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "cannot be read" in result.output
    assert "flask widget build" in result.output
