"""The integrations: who may speak to us, with which secrets, answered how.

One row per integration and account, in SQLite. Secrets are encrypted at rest with a key derived
from `SECRET_KEY`, decrypted only into an Integration in memory and never printed. The store knows
neither Flask nor the environment and serves web, job and command line alike; each thread has a
connection of its own.
"""

import base64
import json
import math
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlite_utils import Database, Migrations
from sqlite_utils.db import NotFoundError

from kommo_bridge.errors import IntegrationError, SettingsError
from kommo_bridge.integrations.sentences import (
    FALLBACK_TEXT,
    HANDOFF_TEXT,
    NO_TEXT_TEXT,
    is_sentence,
)
from kommo_bridge.settings import Settings

TABLE = "integrations"
KEY = ("integration_id", "subdomain")
BOOLEANS = ("enabled", "handoff_tool")
CAPS = ("replies_per_hour", "replies_per_day", "tokens_per_day", "tokens_per_month")
SENTENCES = ("fallback_text", "no_text_text", "handoff_text")
SECRETS = ("secret_key", "previous_secret_key", "access_token", "ai_api_key")
MAX_ACCOUNT_ID = 2**63 - 1  # the largest number that SQLite holds
DOMAINS = ("kommo.com", "amocrm.com", "amocrm.ru")
BUSY_TIMEOUT_SECONDS = 5.0
KEPT_ROWS = 1000

migrations = Migrations("kommo_bridge")


@migrations()
def m001_create_integrations(db: Database) -> None:
    """The first shape of the table."""
    columns: dict[str, Any] = {
        "integration_id": str,
        "subdomain": str,
        "account_id": int,
        "domain": str,
        "name": str,
        "secret_key": str,
        "previous_secret_key": str,
        "access_token": str,
        "instructions": str,
        "model": str,
        "temperature": float,
        "history": int,
        "fallback_text": str,
        "no_text_text": str,
        "delivery": str,
        "ai_api_key": str,
        "ai_base_url": str,
        "enabled": int,
        "created_at": str,
        "updated_at": str,
    }
    db.table(TABLE).create(columns, pk=KEY, not_null=set(KEY))


@migrations()
def m002_add_conversations(db: Database) -> None:
    """Memory, bursts, hand-over and caps."""
    table = db.table(TABLE)
    numbers = {
        "history_days": 30, "burst_seconds": 2.0, "handoff_hours": 12.0, "handoff_tool": 1,
        "replies_per_hour": 30, "replies_per_day": 0, "tokens_per_day": 0, "tokens_per_month": 0,
    }  # fmt: skip
    for name, value in numbers.items():
        table.add_column(name, type(value), not_null_default=value)
    for name, text in {
        "handoff_text": HANDOFF_TEXT, "handoff_phrases": "", "pause_tag": ""
    }.items():  # fmt: skip
        table.add_column(name, str, not_null_default=text)


@dataclass(frozen=True)
class Integration:
    """One integration in one account, and how its customers are answered.

    Attributes:
        integration_id: Kommo's integration id (`client_uuid` of the bot token), in lower case.
        subdomain, domain: The account's host is `{subdomain}.{domain}`.
        account_id: The account's number; None until the first verified request binds it.
        secret_key, previous_secret_key: Either one verifies a bot token (rotation).
        access_token: The long-lived token that continues the Salesbot.
        instructions: What the assistant is told about the business.
        model, temperature: None takes `OPENAI_MODEL` and the model's own default.
        history, history_days: How many turns of a conversation are remembered, for how long.
        fallback_text, no_text_text, handoff_text: Sent when the AI failed; when there was no text
            to answer; when a human takes over. Plain text, or a JSON object of texts by language
            (`sentences`).
        burst_seconds: How long to wait for more of the customer's messages before answering.
        handoff_hours: How long the assistant is silent after a hand-over.
        handoff_phrases: Lines; one of them in a message or a reply hands over.
        handoff_tool: Whether the AI is offered a tool to hand over.
        pause_tag: A tag of the lead that silences the assistant.
        replies_per_hour: The most in one conversation; 0 for no limit, as in the three below.
        replies_per_day, tokens_per_day, tokens_per_month: The most of the whole integration.
        delivery: `json` or `show`, for requests that do not say.
        ai_api_key, ai_base_url: An AI of the integration's own.
    """

    integration_id: str
    subdomain: str
    account_id: int | None = None
    domain: str = "kommo.com"
    name: str = ""
    secret_key: str = field(default="", repr=False)
    previous_secret_key: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)
    instructions: str = ""
    model: str | None = None
    temperature: float | None = None
    history: int = 20
    history_days: int = 30
    fallback_text: str = FALLBACK_TEXT
    no_text_text: str = NO_TEXT_TEXT
    handoff_text: str = HANDOFF_TEXT
    burst_seconds: float = 2.0
    handoff_hours: float = 12.0
    handoff_phrases: str = ""
    handoff_tool: bool = True
    pause_tag: str = ""
    replies_per_hour: int = 30
    replies_per_day: int = 0
    tokens_per_day: int = 0
    tokens_per_month: int = 0
    delivery: str = "json"
    ai_api_key: str = field(default="", repr=False)
    ai_base_url: str | None = None
    enabled: bool = True

    @property
    def host(self) -> str:
        """The account's own host, the only one that its access token is sent to."""
        return f"{self.subdomain}.{self.domain}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that may have signed a bot token, none when disabled."""
        return (self.secret_key, self.previous_secret_key) if self.enabled else ()


class IntegrationStore:
    """The integrations in one SQLite file; safe from several threads and processes.

    Args:
        path: The database file; its folder is made when missing.
        secret_key: `SECRET_KEY`, from which the key of the encrypted columns is derived.
    """

    def __init__(self, path: Path, secret_key: str) -> None:
        self._path = path
        self._cipher = _cipher(secret_key)
        self._local = threading.local()
        # A row that has not changed need not be decrypted again.
        self._cached = lru_cache(KEPT_ROWS)(self._built)

    def migrate(self) -> None:
        """Create the file when missing and bring its tables up to date.

        Raises:
            SettingsError: `DATABASE_PATH` cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._enable_wal()
            with self._writing():  # one process migrates at a time
                migrations.apply(self._db)
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"DATABASE_PATH {self._path} cannot be opened for writing: {error}"
            ) from error

    def find(self, integration_id: str, account_id: int, subdomain: str) -> Integration | None:
        """The integration that claims speak of, or None.

        A bound account id must agree, and so must the subdomain: a renamed account is told to the
        log as unknown until `flask integrations set` names it anew.
        """
        key = (integration_id.lower(), subdomain.lower(), account_id)
        known = self._known()
        if key not in known:
            found = self._where(
                "integration_id = ? and subdomain = ? and (account_id is null or account_id = ?)",
                key,
            )
            known[key] = found[0] if found else None
        return known[key]

    def get(self, name: str) -> Integration:
        """The integration an operator names: by subdomain, or `subdomain/integration-id`.

        Raises:
            IntegrationError: None or more than one has this name.
        """
        subdomain, _, integration_id = name.lower().partition("/")
        found = [
            item
            for item in self._where("subdomain = ?", (subdomain,))
            if item.integration_id.startswith(integration_id)
        ]
        exact = [item for item in found if item.integration_id == integration_id]
        if exact:
            return exact[0]
        if not found:
            raise IntegrationError(
                f"There is no integration {name!r}. See `flask integrations list`."
            )
        if len(found) > 1:
            names = ", ".join(f"{item.subdomain}/{item.integration_id}" for item in found)
            raise IntegrationError(f"{name!r} names several integrations: say one of {names}.")
        return found[0]

    def all(self) -> list[Integration]:
        """All integrations, by subdomain."""
        return self._where("1 order by subdomain, integration_id", ())

    def count(self) -> int:
        """How many integrations there are; fails when the store cannot be read."""
        return _count(self._db.conn)

    def backup(self, target: Path) -> int:
        """Copy the database as it is now, however much it is read and written; returns how many.

        Raises:
            IntegrationError: The file exists already, or cannot be written.
        """
        try:
            target.touch(mode=0o600, exist_ok=False)
            with closing(sqlite3.connect(target)) as copy:
                self._db.conn.backup(copy)
                return _count(copy)
        except FileExistsError:
            raise IntegrationError(f"{target} exists already: name a new file.") from None
        except (OSError, sqlite3.Error) as error:
            reason = type(error).__name__
            raise IntegrationError(f"{target} cannot be written ({reason}).") from None

    def add(self, integration: Integration) -> None:
        """Add one.

        Raises:
            IntegrationError: It is not complete or not valid, or exists already.
        """
        check_integration(integration)
        try:
            with self._writing() as table:
                table.insert({**self._row(integration), "created_at": _now()})
        except sqlite3.IntegrityError as error:
            raise IntegrationError(
                f"{integration.subdomain} has this integration already. "
                f"Use `flask integrations set {integration.subdomain} KEY=VALUE`."
            ) from error

    def save(self, integration: Integration) -> None:
        """Add or replace one.

        Raises:
            IntegrationError: It is not complete or not valid.
        """
        check_integration(integration)
        with self._writing() as table:
            table.upsert(self._row(integration), pk=KEY)

    def rename(self, integration: Integration, changed: Integration) -> None:
        """Save `changed` in place of `integration`, also when its key columns differ.

        Raises:
            IntegrationError: It is not valid, takes another one's place, or is gone.
        """
        check_integration(changed)
        try:
            with self._writing() as table:
                key = (integration.integration_id, integration.subdomain)
                table.update(key, self._row(changed))
        except NotFoundError as error:
            raise IntegrationError(
                f"There is no integration {integration.host} any more."
            ) from error
        except sqlite3.IntegrityError as error:
            raise IntegrationError(f"{changed.subdomain} has this integration already.") from error

    def remove(self, integration: Integration) -> None:
        """Forget one, its secrets included."""
        with self._writing() as table:
            table.delete((integration.integration_id, integration.subdomain))

    def bind_account(self, integration: Integration, account_id: int) -> None:
        """Keep the account id that the first verified request named."""
        with self._writing():
            self._db.conn.execute(
                f"update {TABLE} set account_id = ?, updated_at = ? "  # noqa: S608
                "where integration_id = ? and subdomain = ? and account_id is null",
                (account_id, _now(), integration.integration_id, integration.subdomain),
            )

    def fill(self, items: Iterable[Mapping[str, Any]]) -> int:
        """Add or update from the objects that `export` prints; returns how many.

        Fields that an object does not name keep their stored value. All or nothing is stored.

        Raises:
            IntegrationError: An object is not complete or not valid; nothing is stored.
        """
        with self._writing() as table:
            integrations = [self._merged(item) for item in items]
            for integration in integrations:
                check_integration(integration)
                table.upsert(self._row(integration), pk=KEY)
        return len(integrations)

    def _merged(self, item: Mapping[str, Any]) -> Integration:
        given = from_mapping(item)
        stored = self._where(
            "integration_id = ? and subdomain = ?", (given.integration_id, given.subdomain)
        )
        if not stored:
            return given
        return replace(stored[0], **{name: getattr(given, name) for name in item})

    def _where(self, condition: str, values: tuple[Any, ...]) -> list[Integration]:
        cursor = self._db.conn.execute(f"select * from {TABLE} where {condition}", values)  # noqa: S608
        names = tuple(column[0] for column in cursor.description)
        return [self._cached(names, row) for row in cursor]

    def _known(self) -> dict[tuple[str, str, int], Integration | None]:
        """What this thread has found since the file was last changed, by whomever."""
        (version,) = self._db.conn.execute("pragma data_version").fetchone()
        local = self._local
        if getattr(local, "version", None) != version or len(local.known) >= KEPT_ROWS:
            local.version, local.known = version, {}
        return local.known  # type: ignore[no-any-return]

    @property
    def _db(self) -> Database:
        """This thread's own connection."""
        if not hasattr(self._local, "db"):
            connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_SECONDS)
            connection.execute("pragma synchronous = normal")
            self._local.db = Database(connection)
        return self._local.db  # type: ignore[no-any-return]

    def _enable_wal(self) -> None:
        """The journal mode stays with the file: writers then never block readers.

        While another connection changes it too, SQLite fails at once: it has no busy timeout here.
        """
        ends_at = time.monotonic() + BUSY_TIMEOUT_SECONDS
        while self._db.journal_mode != "wal":
            try:
                self._db.enable_wal()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > ends_at:
                    raise
                time.sleep(0.01)

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        """The table, within one transaction that asks for the write lock first.

        A transaction that reads before it writes fails at once, whatever the busy timeout, when
        somebody else has written in between: https://www.sqlite.org/isolation.html
        """
        with self._db.conn as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield self._db.table(TABLE)
        self._local.version = None  # which tells of the changes of other connections only

    def _row(self, integration: Integration) -> dict[str, Any]:
        row: dict[str, Any] = {
            item.name: getattr(integration, item.name) for item in fields(Integration)
        }
        for name in SECRETS:
            row[name] = self._cipher.encrypt(row[name].encode()).decode() if row[name] else ""
        return {**row, "updated_at": _now()}

    def _built(self, names: tuple[str, ...], values: tuple[Any, ...]) -> Integration:
        row = dict(zip(names, values, strict=True))
        known = {item.name: row[item.name] for item in fields(Integration) if item.name in row}
        for name in SECRETS:
            known[name] = self._decrypt(known[name])
        return Integration(**{**known, **{name: bool(known[name]) for name in BOOLEANS}})

    def _decrypt(self, text: str) -> str:
        try:
            return self._cipher.decrypt(text).decode() if text else ""
        except InvalidToken as error:
            raise SettingsError(
                "SECRET_KEY is not the one that the stored secrets were encrypted with."
            ) from error


def open_store(settings: Settings) -> IntegrationStore:
    """The integration store, migrated, and filled from `KOMMO_INTEGRATIONS` when that is set.

    Raises:
        SettingsError: Naming the variable at fault.
    """
    store = IntegrationStore(settings.database_path, settings.secret_key)
    store.migrate()
    if settings.kommo_integrations:
        try:
            items = json.loads(settings.kommo_integrations)
            store.fill(items if isinstance(items, list) else [items])
        except (ValueError, IntegrationError) as error:
            reason = str(error) if isinstance(error, IntegrationError) else "it is not JSON"
            raise SettingsError(f"KOMMO_INTEGRATIONS is wrong: {reason}") from None
    return store


def from_mapping(item: Mapping[str, Any]) -> Integration:
    """One integration from a JSON object, types checked.

    Raises:
        IntegrationError: A key is unknown, a value of the wrong type, or a key column is missing.
    """
    if not isinstance(item, Mapping):
        raise IntegrationError("Each integration must be a JSON object.")
    known = {entry.name for entry in fields(Integration)}
    if unknown := sorted(set(item) - known):
        names = ", ".join(sorted(known))
        raise IntegrationError(f"Unknown field {unknown[0]!r}. Known are {names}.")
    for name in KEY:
        if not isinstance(item.get(name), str) or not item[name]:
            raise IntegrationError(f"The field {name!r} is missing.")
    values = {name: _typed(name, value) for name, value in item.items()}
    return Integration(**{**values, **{name: values[name].lower() for name in KEY}})


def check_integration(integration: Integration) -> None:
    """Refuse what could never work.

    Raises:
        IntegrationError: Naming the field and what it should be.
    """
    for fits, rule in RULES:
        if not fits(integration):
            raise IntegrationError(rule)
    for name, value in vars(integration).items():
        if isinstance(value, str) and SURROGATE.search(value):
            raise IntegrationError(f"{name} is not valid Unicode text")
    for name in (*SECRETS, *KEY):
        value = getattr(integration, name)
        if value and (not value.isascii() or not value.isprintable() or " " in value):
            raise IntegrationError(f"{name} holds characters that it cannot have")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False


RULES: tuple[tuple[Callable[[Integration], bool], str], ...] = (
    (
        lambda it: bool(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", it.subdomain)),
        "subdomain must be the first label of the account's host, such as acme",
    ),
    (lambda it: it.domain in DOMAINS, f"domain must be one of {', '.join(DOMAINS)}"),
    (
        lambda it: bool(it.secret_key),
        "secret_key must not be empty: it proves that Kommo is speaking",
    ),
    (lambda it: it.delivery in ("json", "show"), "delivery must be json or show"),
    (
        lambda it: it.temperature is None or 0 <= it.temperature <= 2,  # noqa: PLR2004
        "temperature must be a number from 0 to 2",
    ),
    (lambda it: 0 <= it.history <= 200, "history must be a whole number from 0 to 200"),  # noqa: PLR2004
    (lambda it: 1 <= it.history_days <= 365, "history_days must be a number from 1 to 365"),  # noqa: PLR2004
    (lambda it: 0 <= it.burst_seconds <= 10, "burst_seconds must be a number from 0 to 10"),  # noqa: PLR2004
    (
        lambda it: 0 < it.handoff_hours <= 720,  # noqa: PLR2004
        "handoff_hours must be a number above 0, at most 720",
    ),
    (
        lambda it: all(0 <= getattr(it, name) <= MAX_ACCOUNT_ID for name in CAPS),
        "replies_per_hour, replies_per_day, tokens_per_day and tokens_per_month must be whole "
        "numbers; 0 means no limit",
    ),
    (
        lambda it: all(is_sentence(getattr(it, name)) for name in SENTENCES),
        "fallback_text, no_text_text and handoff_text must not be empty: a text, or a JSON object "
        'of texts by language such as {"en": "...", "es": "..."}',
    ),
    (
        lambda it: it.account_id is None or 0 < it.account_id <= MAX_ACCOUNT_ID,
        "account_id must be the account's number",
    ),
    (
        lambda it: it.ai_base_url is None or _is_url(it.ai_base_url),
        "ai_base_url must be a URL such as https://api.openai.com/v1",
    ),
)

SURROGATE = re.compile("[\ud800-\udfff]")
TEXT_OR_NONE = ("model", "ai_base_url")


def _typed(name: str, value: Any) -> Any:
    """One value as the type of its field; text is read where a command line gave it."""
    try:
        if value in (None, "") and name in ("account_id", "temperature", *TEXT_OR_NONE):
            return None
        if name in BOOLEANS:
            return _boolean(name, value)
        if name in ("account_id", "history", "history_days", *CAPS):
            return _whole_number(value)
        if name in ("temperature", "burst_seconds", "handoff_hours"):
            return _finite(value)
        if name in SENTENCES and isinstance(value, dict):
            return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, OverflowError):
        raise IntegrationError(f"{name} must be a number") from None
    if not isinstance(value, str):
        raise IntegrationError(f"{name} must be text")
    return value


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _finite(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise TypeError
    return number


def _boolean(name: str, value: Any) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in known:
        raise IntegrationError(f"{name} must be true or false")
    return known[str(value).lower()]


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute(f"select count(*) from {TABLE}").fetchone()[0])  # noqa: S608


def _cipher(secret_key: str) -> Fernet:
    # https://cryptography.io/en/latest/fernet/: a Fernet key is 32 bytes in URL-safe base64.
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"kommo_bridge integrations")
    return Fernet(base64.urlsafe_b64encode(derive.derive(secret_key.encode())))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
