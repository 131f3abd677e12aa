"""What the operator sets, read from the environment once and checked as a whole.

`Settings.from_env` is the only reader of the environment. Every fault is reported in one
sentence that names the variable, and the process does not start with a wrong value.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from kommo_bridge.errors import SettingsError

# What is stored may be stolen, and guessing is cheap: only a random key holds.
MIN_SECRET_KEY_CHARACTERS = 32
MIN_PASSWORD_CHARACTERS = 12
MAKE_ONE = "Make one with python3 -c 'import secrets; print(secrets.token_hex(32))' and keep it."
MAX_PORT = 65535
WINDOW_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True)
class RateLimit:
    """At most `count` widget requests of one integration in `window_seconds`."""

    count: int
    window_seconds: int


@dataclass(frozen=True)
class Settings:
    """All settings, checked. Times are in seconds; see the settings table of the README."""

    secret_key: str = field(repr=False)
    secret_key_previous: str | None = field(default=None, repr=False)
    public_url: str | None = None
    redis_url: str = field(default="redis://localhost:6379/0", repr=False)
    database_path: Path = Path("instance/kommo_bridge.db")
    database_url: str | None = field(default=None, repr=False)
    openai_api_key: str | None = field(default=None, repr=False)
    openai_base_url: str | None = None
    openai_model: str = "gpt-5.4-mini"
    fallback_openai_api_key: str | None = field(default=None, repr=False)
    fallback_openai_base_url: str | None = None
    fallback_openai_model: str | None = None
    ai_timeout_seconds: float = 30
    reply_deadline_seconds: float = 120
    continue_deadline_seconds: float = 900
    kommo_extra_hosts: frozenset[str] = frozenset()
    kommo_integrations: str | None = field(default=None, repr=False)
    web_concurrency: int = 2
    worker_concurrency: int = 16
    worker_grace_seconds: float = 25
    port: int = 8000
    rate_limit: RateLimit = RateLimit(600, 60)
    dashboard_username: str = "admin"
    dashboard_password: str | None = field(default=None, repr=False)
    metrics_token: str | None = field(default=None, repr=False)
    sentry_dsn: str | None = field(default=None, repr=False)
    alert_webhook_url: str | None = field(default=None, repr=False)
    smtp_url: str | None = field(default=None, repr=False)
    log_level: str = "INFO"
    log_format: str = "text"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check all settings; a variable that is empty counts as not set.

        Raises:
            SettingsError: A variable is missing or wrong; the message names it.
        """
        values: dict[str, object] = {}
        for setting in fields(cls):
            variable = setting.name.upper()
            text = environ.get(variable, "").strip()
            if text:
                values[setting.name] = _read(variable, text)
        if "secret_key" not in values:
            raise SettingsError(
                f"SECRET_KEY is not set: it encrypts the stored secrets. {MAKE_ONE}"
            )
        certificates = environ.get("SSL_CERT_FILE")  # Python's own: the AI is asked with them
        if certificates and not Path(certificates).is_file():
            raise SettingsError("SSL_CERT_FILE is wrong: there is no such file.")
        settings = cls(**values)  # type: ignore[arg-type]
        settings._check_together()
        return settings

    @property
    def store_place(self) -> Path | str:
        """Where the integrations are: `DATABASE_URL` when it is set, else `DATABASE_PATH`."""
        return self.database_url or self.database_path

    def _check_together(self) -> None:
        if self.continue_deadline_seconds < self.reply_deadline_seconds:
            raise SettingsError(
                "CONTINUE_DEADLINE_SECONDS must not be shorter than REPLY_DEADLINE_SECONDS: "
                "the fallback sentence is sent after the latter and needs time to arrive."
            )


def _read(variable: str, text: str) -> object:
    """Turn one variable's text into its value, naming the variable if that fails."""
    reader = READERS.get(variable, str)
    try:
        return reader(text)
    except ValueError as error:
        raise SettingsError(f"{variable} is wrong: {error}") from None


def _secret_key(text: str) -> str:
    if len(text) < MIN_SECRET_KEY_CHARACTERS:
        raise ValueError(f"it needs at least {MIN_SECRET_KEY_CHARACTERS} characters. {MAKE_ONE}")
    return text


def _password(text: str) -> str:
    if len(text) < MIN_PASSWORD_CHARACTERS:
        raise ValueError(f"it needs at least {MIN_PASSWORD_CHARACTERS} characters.")
    return text


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"it must be a number from {low:g} to {high:g}.") from None
        if not low <= value <= high:
            raise ValueError(f"it must be a number from {low:g} to {high:g}.")
        return value

    return read


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"it must be a whole number from {low} to {high}.")
        return int(text)

    return read


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(f"it must be one of {', '.join(choices)}.")

    return read


def _url(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        wrong = f"it must be a URL with {' or '.join(schemes)}."
        try:
            parts = urlsplit(text)
            has_place = parts.scheme == "unix" or (parts.hostname and parts.port != 0)
        except ValueError:  # its message may hold the password
            raise ValueError(wrong) from None
        if parts.scheme not in schemes or not has_place or " " in text or not text.isprintable():
            raise ValueError(wrong)
        return text

    return read


def _database_url(text: str) -> str:
    """For libpq, which stops at the first `@` where Python stops at the last one."""
    if urlsplit(_url("postgres", "postgresql")(text)).netloc.count("@") > 1:
        raise ValueError("special characters of the password must be percent-encoded.")
    return text


def _smtp_url(text: str) -> str:
    """A mail server, and who the mails are from: `?from=`, else the user name."""
    parts = urlsplit(_url("smtp", "smtps")(text))
    sender = parse_qs(parts.query).get("from", [unquote(parts.username or "")])[0]
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", sender):
        raise ValueError("say who the mails are from: smtps://user:pass@host?from=bot@example.com.")
    return text


def _public_url(text: str) -> str:
    """The origin under which Kommo reaches us; a trailing slash is dropped."""
    if "://" not in text:
        raise ValueError(f"it must begin with https://, such as https://{text.strip('/')}.")
    parts = urlsplit(_url("https", "http")(text))
    if parts.query or parts.fragment:
        raise ValueError("it must be a plain address such as https://bridge.example.com.")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("it must be https (plain http is for this machine only).")
    return text.rstrip("/")


def _rate_limit(text: str) -> RateLimit:
    match = re.fullmatch(r"([1-9][0-9]{0,8})\s*/\s*(second|minute|hour|day)", text)
    if not match:
        raise ValueError("it must look like 600/minute (or /second, /hour, /day).")
    return RateLimit(int(match[1]), WINDOW_SECONDS[match[2]])


def _extra_hosts(text: str) -> frozenset[str]:
    hosts = frozenset(part.strip().lower() for part in text.split(",") if part.strip())
    for host in hosts:
        match = re.fullmatch(r"(?:\[[0-9a-f:]+\]|[a-z0-9.-]+):([1-9][0-9]{0,4})", host)
        if not match or int(match[1]) > MAX_PORT:
            raise ValueError(f"{host!r} is not host:port (separate several by commas).")
    return hosts


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine itself: `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


READERS: dict[str, Callable[[str], object]] = {
    "SECRET_KEY": _secret_key,
    "PUBLIC_URL": _public_url,
    "REDIS_URL": _url("redis", "rediss", "unix"),
    "DATABASE_PATH": Path,
    "DATABASE_URL": _database_url,
    "OPENAI_BASE_URL": _url("https", "http"),
    "FALLBACK_OPENAI_BASE_URL": _url("https", "http"),
    "AI_TIMEOUT_SECONDS": _number(1, 600),
    "REPLY_DEADLINE_SECONDS": _number(1, 3600),
    "CONTINUE_DEADLINE_SECONDS": _number(1, 86400),
    "KOMMO_EXTRA_HOSTS": _extra_hosts,
    "WEB_CONCURRENCY": _whole_number(1, 64),
    "WORKER_CONCURRENCY": _whole_number(1, 512),
    "WORKER_GRACE_SECONDS": _number(0, 3600),
    "PORT": _whole_number(1, MAX_PORT),
    "RATE_LIMIT": _rate_limit,
    "DASHBOARD_PASSWORD": _password,
    "ALERT_WEBHOOK_URL": _url("https", "http"),
    "SMTP_URL": _smtp_url,
    "LOG_LEVEL": _one_of("DEBUG", "INFO", "WARNING", "ERROR"),
    "LOG_FORMAT": _one_of("text", "json"),
}
