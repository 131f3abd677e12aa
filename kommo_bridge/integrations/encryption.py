"""Secrets at rest: encrypted with a key derived from `SECRET_KEY`, each bound to its place.

Every column of every row has a key of its own, derived from `SECRET_KEY` and from where it stands:
what is copied to another row or column cannot be decrypted there. What 1.0.0 wrote was not bound;
it is read too, and bound when its row is written again.
"""

import base64
from collections.abc import Iterable

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kommo_bridge.errors import SettingsError

NOT_DECRYPTED = (
    "SECRET_KEY is not the one that the stored secrets were encrypted with: put that one back, or "
    "set it as SECRET_KEY_PREVIOUS (docs/security.md)."
)
BOUND = "2."  # in front of what is bound to its place; a Fernet token begins with gAAAA
UNBOUND_INFO = b"kommo_bridge integrations"


class Cipher:
    """Encrypts and decrypts the secrets of a store; empty text stays empty.

    Args:
        secret_key: `SECRET_KEY`; everything is encrypted with it.
        previous_key: `SECRET_KEY_PREVIOUS`, empty for none; what it encrypted can be decrypted.
    """

    def __init__(self, secret_key: str, previous_key: str = "") -> None:
        self._keys = [key.encode() for key in (secret_key, previous_key) if key]
        self._unbound = [_fernet(key, UNBOUND_INFO) for key in self._keys]

    def encrypt(self, text: str, place: Iterable[str]) -> str:
        """What is stored at a place: the key of the row and the name of the column."""
        if not text:
            return ""
        return BOUND + _fernet(self._keys[0], _info(place)).encrypt(text.encode()).decode()

    def decrypt(self, text: str, place: Iterable[str]) -> str:
        """What was encrypted for this place.

        Raises:
            SettingsError: It was encrypted with another `SECRET_KEY`, or for another place.
        """
        if not text:
            return ""
        if not text.startswith(BOUND):
            return _first(self._unbound, text)
        info = _info(place)
        return _first((_fernet(key, info) for key in self._keys), text.removeprefix(BOUND))

    def is_current(self, text: str, place: Iterable[str]) -> bool:
        """Whether it was encrypted with `SECRET_KEY` itself, and for this place."""
        if not text:
            return True
        try:
            _first([_fernet(self._keys[0], _info(place))], text.removeprefix(BOUND))
        except SettingsError:
            return False
        return True


def _first(fernets: Iterable[Fernet], text: str) -> str:
    """What the first key that fits makes of it."""
    for fernet in fernets:
        try:
            return fernet.decrypt(text).decode()
        except (InvalidToken, ValueError):  # what is no ASCII, even
            continue
    raise SettingsError(NOT_DECRYPTED)


def _info(place: Iterable[str]) -> bytes:
    """A place as HKDF takes it; no part of a place holds a NUL."""
    return "\0".join(("kommo_bridge secret", *place)).encode()


def _fernet(secret_key: bytes, info: bytes) -> Fernet:
    # https://cryptography.io/en/latest/fernet/: a Fernet key is 32 bytes in URL-safe base64.
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=info)
    return Fernet(base64.urlsafe_b64encode(derive.derive(secret_key)))
