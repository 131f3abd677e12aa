"""Secrets at rest: encrypted with a key derived from `SECRET_KEY`."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kommo_bridge.errors import SettingsError

NOT_DECRYPTED = "SECRET_KEY is not the one that the stored secrets were encrypted with."


class Cipher:
    """Encrypts and decrypts the secrets of a store; empty text stays empty."""

    def __init__(self, secret_key: str) -> None:
        # https://cryptography.io/en/latest/fernet/: a Fernet key is 32 bytes in URL-safe base64.
        derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"kommo_bridge integrations")
        self._fernet = Fernet(base64.urlsafe_b64encode(derive.derive(secret_key.encode())))

    def encrypt(self, text: str) -> str:
        """What is stored."""
        return self._fernet.encrypt(text.encode()).decode() if text else ""

    def decrypt(self, text: str) -> str:
        """What was encrypted.

        Raises:
            SettingsError: It was encrypted with another `SECRET_KEY`.
        """
        try:
            return self._fernet.decrypt(text).decode() if text else ""
        except InvalidToken as error:
            raise SettingsError(NOT_DECRYPTED) from error
