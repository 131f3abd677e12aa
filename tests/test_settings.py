"""The settings: each variable read and checked, each fault told by its name."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kommo_bridge.errors import SettingsError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import RateLimit, Settings, is_loopback
from kommo_bridge.telemetry.start import redis_warnings

ROOT = Path(__file__).parents[1]
SECRET_KEY = "s3cret-" * 6


def read(**variables: str) -> Settings:
    return Settings.from_env({"SECRET_KEY": SECRET_KEY, **variables})


def test_a_secret_key_alone_is_enough() -> None:
    assert read() == Settings(secret_key=SECRET_KEY)


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_variable_counts_as_not_set(empty: str) -> None:
    assert read(PORT=empty, OPENAI_API_KEY=empty) == read()
    with pytest.raises(SettingsError, match="SECRET_KEY is not set"):
        Settings.from_env({"SECRET_KEY": empty})


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("SECRET_KEY", f" {'k' * 32} ", "k" * 32),
        ("PUBLIC_URL", "https://bridge.example.com/", "https://bridge.example.com"),
        ("PUBLIC_URL", "http://localhost:8000", "http://localhost:8000"),
        ("REDIS_URL", "rediss://:word@host:6380/1", "rediss://:word@host:6380/1"),
        ("REDIS_URL", "unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("DATABASE_PATH", "/data/b.db", Path("/data/b.db")),
        (
            "DATABASE_URL",
            "postgres://u:w@h:5/n?sslmode=require",
            "postgres://u:w@h:5/n?sslmode=require",
        ),
        ("DATABASE_URL", "postgresql://u:p%40w@h/n", "postgresql://u:p%40w@h/n"),
        ("OPENAI_API_KEY", "sk-1", "sk-1"),
        ("OPENAI_BASE_URL", "http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("OPENAI_MODEL", "some-model", "some-model"),
        ("AI_TIMEOUT_SECONDS", "2.5", 2.5),
        ("REPLY_DEADLINE_SECONDS", "60", 60),
        ("CONTINUE_DEADLINE_SECONDS", "3600", 3600),
        ("KOMMO_EXTRA_HOSTS", "LocalHost:1, [::1]:2,", frozenset({"localhost:1", "[::1]:2"})),
        ("KOMMO_INTEGRATIONS", "[]", "[]"),
        ("WEB_CONCURRENCY", "4", 4),
        ("WORKER_CONCURRENCY", "64", 64),
        ("WORKER_GRACE_SECONDS", "0", 0),
        ("PORT", "65535", 65535),
        ("RATE_LIMIT", "10/second", RateLimit(10, 1)),
        ("RATE_LIMIT", "5 / hour", RateLimit(5, 3600)),
        ("DASHBOARD_USERNAME", "ops", "ops"),
        ("DASHBOARD_PASSWORD", "a-long-password", "a-long-password"),
        ("METRICS_TOKEN", "token", "token"),
        ("SENTRY_DSN", "https://k@sentry.example/1", "https://k@sentry.example/1"),
        ("ALERT_WEBHOOK_URL", "https://hooks.example/x", "https://hooks.example/x"),
        ("SMTP_URL", "smtps://a%40b.cd:x@mail.example", "smtps://a%40b.cd:x@mail.example"),
        ("SMTP_URL", "smtp://localhost:25?from=a@b.cd", "smtp://localhost:25?from=a@b.cd"),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("LOG_FORMAT", "JSON", "json"),
    ],
)
def test_a_good_value_is_read(variable: str, text: str, value: Any) -> None:
    assert getattr(read(**{variable: text}), variable.lower()) == value


WRONG = [
    ("SECRET_KEY", "k" * 31),
    *(
        ("PUBLIC_URL", text)
        for text in ["bridge.example.com", "http://bridge.example.com", "https://", "https://a?b=1"]
    ),
    *(("REDIS_URL", text) for text in ["localhost", "http://h", "redis://", "redis://h:port"]),
    *(("REDIS_URL", text) for text in ["redis://h:99999", "redis://[::1", "redis://a b"]),
    *(
        ("DATABASE_URL", text)
        for text in [
            "bridge.db",
            "mysql://h/n",
            "postgres://",
            "postgres://u:p/w@h/n",
            "postgres://u:p@w@h/n",
        ]
    ),
    *(
        ("OPENAI_BASE_URL", text)
        for text in ["ftp://h", "h/v1", "https://h:x/v1", "https://\u2100"]
    ),
    *(("AI_TIMEOUT_SECONDS", text) for text in ["0", "-1", "nan", "inf", "1e9", "soon", "30s"]),
    *(("REPLY_DEADLINE_SECONDS", text) for text in ["0", "nan", "99999", "2 min"]),
    *(("CONTINUE_DEADLINE_SECONDS", text) for text in ["0", "nan", "1e6", "10"]),
    *(("KOMMO_EXTRA_HOSTS", text) for text in ["localhost", "http://h:1", "h:0", "h:99999", "h:x"]),
    *(("WEB_CONCURRENCY", text) for text in ["0", "65", "two", "1.5", "-1", "１"]),
    *(("WORKER_CONCURRENCY", text) for text in ["0", "513", "many"]),
    *(("WORKER_GRACE_SECONDS", text) for text in ["-1", "nan", "x"]),
    *(("PORT", text) for text in ["0", "65536", "http", "9" * 5000]),
    *(("RATE_LIMIT", text) for text in ["600", "0/minute", "x/minute", "5/week", "-5/minute"]),
    ("DASHBOARD_PASSWORD", "eleven-char"),
    *(("ALERT_WEBHOOK_URL", text) for text in ["hooks", "ftp://h"]),
    *(("SMTP_URL", text) for text in ["mail.example", "https://a%40b.cd:x@h", "smtps://user:x@h"]),
    ("LOG_LEVEL", "LOUD"),
    ("LOG_FORMAT", "xml"),
]


@pytest.mark.parametrize(("variable", "text"), WRONG)
def test_a_wrong_value_stops_the_start_and_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{variable} "):
        read(**{variable: text})


@pytest.mark.parametrize("url", ["redis://:hidden@h:port", "redis://:hidden@[x", "x://:hidden@h"])
def test_a_password_in_a_wrong_url_is_not_told(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(REDIS_URL=url)

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgres://u:hidden@a@h/n", "postgres://u:hid/den@h/n"])
def test_a_password_in_a_wrong_database_url_is_not_told(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(DATABASE_URL=url)

    assert "hid" not in str(caught.value)


def test_the_url_takes_the_place_of_the_file() -> None:
    assert read().store_place == Path("instance/kommo_bridge.db")
    assert read(DATABASE_URL="postgres://h/n").store_place == "postgres://h/n"


def test_no_secret_stands_in_the_settings_as_text() -> None:
    secret = {
        name: f"hidden-{name}"
        for name in ("OPENAI_API_KEY", "DASHBOARD_PASSWORD", "METRICS_TOKEN", "SENTRY_DSN")
    }

    settings = read(
        **secret,
        REDIS_URL="redis://:hidden@h",
        DATABASE_URL="postgres://u:hidden@h/n",
        KOMMO_INTEGRATIONS="hidden",
    )

    assert "hidden" not in repr(settings)
    assert SECRET_KEY not in repr(settings)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


def test_a_worker_starts_beside_an_integration_of_another_secret_key(tmp_path: Path) -> None:
    """It then finds the next fault, here that nobody has a key of the AI."""
    path = tmp_path / "b.db"
    good = Integration("0b01", "acme", secret_key="s" * 64)
    for secret_key, subdomain in ((SECRET_KEY, "acme"), ("another-" * 4, "foreign")):
        store = IntegrationStore(path, secret_key)
        store.migrate()
        store.add(replace(good, subdomain=subdomain))

    stopped = subprocess.run(
        [sys.executable, "worker.py"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SECRET_KEY": SECRET_KEY, "DATABASE_PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    first, skipped, fault = stopped.stderr.splitlines()
    assert " worker starts version=" in first
    assert "integration skipped subdomain=foreign" in skipped
    assert "does not start. OPENAI_API_KEY is not set" in fault


@pytest.mark.parametrize("host", ["", "10.0.0.1", "localhost.evil.com", "127.0.0.1.evil.com", "0"])
def test_another_machine_is_not_taken_for_this_one(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("command", [["-c", "import wsgi"], ["worker.py"]], ids=["web", "worker"])
@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SECRET_KEY", ""),
        ("PORT", "x"),
        ("KOMMO_INTEGRATIONS", "{"),
        ("DATABASE_PATH", "/dev/null/b"),
        ("DATABASE_URL", "postgres://user:hidden@127.0.0.1:1/x"),
    ],
)
def test_a_process_stops_with_one_sentence_that_names_the_variable(
    tmp_path: Path, command: list[str], variable: str, text: str
) -> None:
    variables = {"SECRET_KEY": SECRET_KEY, "DATABASE_PATH": str(tmp_path / "b.db"), variable: text}

    stopped = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert stopped.returncode in (1, 4)
    told = [line for line in stopped.stderr.splitlines() if " worker starts version=" not in line]
    assert len(told) == 1, stopped.stderr
    assert "does not start. " + variable in stopped.stderr
    assert SECRET_KEY not in stopped.stderr


def test_certificates_that_are_not_there_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(SSL_CERT_FILE=str(tmp_path / "no-such.pem"))

    assert str(caught.value) == "SSL_CERT_FILE is wrong: there is no such file."


@pytest.mark.parametrize(
    ("url", "warned_of"),
    [
        ("redis://localhost:6379/0", []),
        ("redis://127.0.0.1:6379", []),
        ("redis://[::1]:6379", []),
        ("unix:///run/redis.sock", []),
        ("redis://redis:6379/0", ["password"]),
        ("redis://:secret@redis:6379/0", []),
        ("redis://redis:6379/0?password=secret", []),
        ("rediss://:secret@redis.example.com:6380", ["certificate"]),
        ("rediss://:secret@redis.example.com:6380?ssl_cert_reqs=none", ["certificate"]),
        ("rediss://:secret@redis.example.com:6380?ssl_cert_reqs=required", []),
        ("rediss://redis.example.com:6380", ["password", "certificate"]),
    ],
)
def test_a_redis_that_others_may_write_to_is_warned_of(url: str, warned_of: list[str]) -> None:
    warnings = redis_warnings(url)

    assert len(warnings) == len(warned_of)
    for warning, word in zip(warnings, warned_of, strict=True):
        assert word in warning
        assert "secret" not in warning
