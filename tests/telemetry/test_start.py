"""How a process begins: its version first, then what may be a slip in its environment."""

import logging
from collections.abc import Iterator

import pytest
from helpers import SECRET_KEY

from kommo_bridge import __version__
from kommo_bridge.telemetry.start import misspelt, start


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def test_the_first_line_says_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"SECRET_KEY": SECRET_KEY, "REDIS_URL": "redis://elsewhere/0"}

    start(environ, "worker")

    first, *more = capsys.readouterr().err.splitlines()
    assert first.endswith(f"worker starts version={__version__}")
    assert more


def test_a_command_has_no_such_line(capsys: pytest.CaptureFixture[str]) -> None:
    start({"SECRET_KEY": SECRET_KEY})

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"OPENAI_MODLE": "x"}, ["OPENAI_MODLE is not a setting. Did you mean OPENAI_MODEL?"]),
        ({"RATE_LIMITS": "x"}, ["RATE_LIMITS is not a setting. Did you mean RATE_LIMIT?"]),
        ({"OPENAI_MODLE": "x", "OPENAI_MODEL": "y"}, []),
        ({"PATH": "/bin", "REDIS_TLS_URL": "rediss://x", "HOME": "/", "POST": "1"}, []),
    ],
    ids=str,
)
def test_a_variable_that_is_nearly_a_setting_is_told(
    environ: dict[str, str], told: list[str]
) -> None:
    assert misspelt(environ) == told
