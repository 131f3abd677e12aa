"""The worker's entry: it starts whole, or not at all."""

import subprocess
from pathlib import Path

import pytest

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.settings import Settings
from local.processes import ROOT, process_environ, procfile_command


@pytest.mark.usefixtures("acme")
def test_parts_that_cannot_be_built_stop_the_start_in_one_sentence(
    settings: Settings, tmp_path: Path
) -> None:
    """Else every Salesbot would hang while "worker started" stands in the log."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")

    done = subprocess.run(
        procfile_command("worker"),
        cwd=ROOT,
        env=process_environ(settings) | {"SSL_CERT_FILE": str(broken)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert "worker started" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("The worker does not start. ")
    assert "Traceback" not in done.stderr


def test_without_an_ai_key_the_start_is_refused(settings: Settings, acme: Integration) -> None:
    done = subprocess.run(
        procfile_command("worker"),
        cwd=ROOT,
        env=process_environ(settings) | {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert acme.ai_api_key == ""
    assert done.returncode == 1
    begins, ends = done.stderr.splitlines()
    assert " worker starts version=" in begins
    assert ends.startswith("The worker does not start. OPENAI_API_KEY is not set")
