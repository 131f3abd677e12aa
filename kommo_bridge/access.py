"""Who may see the console: sessions, and the links that let an owner in.

A session is a random number in a cookie; what it stands for is in Redis, under a digest of it, and
ends with its time, by signing out, or when the owner's access is revoked. What Redis has lost lets
nobody in.
"""

import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any

from itsdangerous import BadSignature, Signer, URLSafeSerializer
from redis import Redis

from kommo_bridge.redis_client import PREFIX
from kommo_bridge.settings import Settings

LINK_SECONDS = 15 * 60
OWNER_SECONDS = 30 * 86400
OPERATOR_SECONDS = 12 * 3600


@dataclass(frozen=True)
class Session:
    """Somebody who came in.

    Attributes:
        integration: The one that an owner may see, `subdomain/integration-id`; empty for the
            operator, who sees all.
        proof: What must still be the same for the session to hold: the operator's password, as a
            digest, or the owner's generation, which `revoke` ends.
        csrf: What each form sends back.
    """

    integration: str
    proof: str
    csrf: str

    @property
    def is_operator(self) -> bool:
        """Whether it is the operator's."""
        return not self.integration


class Access:
    """Sessions and links in Redis. All methods raise RedisError when Redis is away."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._signer = Signer(settings.secret_key, salt="console session", digest_method=_sha256)
        self._links = URLSafeSerializer(
            settings.secret_key, salt="console link", signer_kwargs={"digest_method": _sha256}
        )

    def is_password(self, username: str, password: str) -> bool:
        """Whether the operator's name and password are these; both are always compared."""
        wanted = (self._settings.dashboard_username, self._settings.dashboard_password or "")
        same = [
            hmac.compare_digest(given.encode(errors="replace"), known.encode())
            for given, known in zip((username, password), wanted, strict=True)
        ]
        return all(same) and bool(self._settings.dashboard_password)

    def begin_operator(self) -> str:
        """A new session of the operator; returns the cookie's value."""
        return self._begin(Session("", self._password_digest(), secrets.token_urlsafe(16)))

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie, while it holds."""
        try:
            number = self._signer.unsign(cookie).decode()
        except BadSignature:
            return None
        kept: Any = self._redis.get(_session_key(number))
        if kept is None:
            return None
        session = Session(**json.loads(kept))
        holds = self._password_digest() if session.is_operator else self._generation(session)
        return session if hmac.compare_digest(session.proof, holds) else None

    def end(self, cookie: str) -> None:
        """Sign out."""
        try:
            self._redis.delete(_session_key(self._signer.unsign(cookie).decode()))
        except BadSignature:
            return

    def make_link(self, integration: str) -> str:
        """The token of a new link for an integration's owner: 15 minutes, one use."""
        number = secrets.token_urlsafe(16)
        key = _generation_key(integration)
        with self._redis.pipeline() as pipeline:
            pipeline.set(key, secrets.token_urlsafe(16), nx=True)
            pipeline.expire(key, OWNER_SECONDS + LINK_SECONDS)
            pipeline.get(key)
            generation = pipeline.execute()[-1].decode()
        self._redis.set(_link_key(number), generation, ex=LINK_SECONDS)
        return str(self._links.dumps([integration, number]))

    def linked(self, token: str) -> str | None:
        """The integration that a link is for, while it can be used; the link stays."""
        read = self._read_link(token)
        return read[0] if read and self._redis.exists(_link_key(read[1])) else None

    def use_link(self, token: str) -> str | None:
        """Use a link up: the cookie's value of the owner's new session; None when it has ended."""
        read = self._read_link(token)
        proof: Any = self._redis.getdel(_link_key(read[1])) if read else None
        if read is None or proof is None:
            return None
        session = Session(read[0], proof.decode(), secrets.token_urlsafe(16))
        if not hmac.compare_digest(session.proof, self._generation(session)):
            return None  # revoked since
        return self._begin(session)

    def revoke(self, integration: str) -> bool:
        """End all links and sessions of an integration's owners; False when there were none."""
        return bool(self._redis.delete(_generation_key(integration)))

    def _begin(self, session: Session) -> str:
        number = secrets.token_urlsafe(32)
        seconds = OPERATOR_SECONDS if session.is_operator else OWNER_SECONDS
        self._redis.set(_session_key(number), json.dumps(asdict(session)), ex=seconds)
        return self._signer.sign(number).decode()

    def _read_link(self, token: str) -> tuple[str, str] | None:
        try:
            integration, number = self._links.loads(token)
        except (BadSignature, ValueError):
            return None
        return integration, number

    def _generation(self, session: Session) -> str:
        kept: Any = self._redis.get(_generation_key(session.integration))
        return kept.decode() if kept else secrets.token_urlsafe(16)  # a value that nobody has

    def _password_digest(self) -> str:
        """Another one when the operator's name or password is changed."""
        who = f"{self._settings.dashboard_username}\n{self._settings.dashboard_password}"
        key = self._settings.secret_key.encode()
        return hmac.new(key, f"console operator\n{who}".encode(), hashlib.sha256).hexdigest()


def _sha256(data: bytes = b"") -> Any:
    return hashlib.sha256(data)


def _session_key(number: str) -> str:
    """Under a digest: who reads Redis cannot take over a session."""
    return f"{PREFIX}console:session:{hashlib.sha256(number.encode()).hexdigest()}"


def _link_key(number: str) -> str:
    return f"{PREFIX}console:link:{hashlib.sha256(number.encode()).hexdigest()}"


def _generation_key(integration: str) -> str:
    return f"{PREFIX}console:owner:{integration}"
