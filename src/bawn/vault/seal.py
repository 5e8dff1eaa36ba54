"""How a key is sealed: ChaCha20-Poly1305 under a key derived from the master key.

The associated data are id and provider of the row, so a sealed key opens only in the row it was made for:
moving the bytes to another row, to send one provider's key to another, makes them unreadable. The first byte is
the version of this format.
"""

from __future__ import annotations

import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from bawn.vault.master import Master
from bawn.vault.secret import Secret

VERSION = b"\x01"
_NONCE = 12


class Seal:
    def __init__(self, master: Master) -> None:
        self._cipher = ChaCha20Poly1305(master.derive("vault/seal/1"))
        self._fingerprint_key = master.derive("vault/fingerprint/1")

    def close(self, key_id: str, provider: str, secret: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return VERSION + nonce + self._cipher.encrypt(nonce, secret.encode(), _row(key_id, provider))

    def open(self, key_id: str, provider: str, sealed: bytes) -> Secret | None:
        """None when it was not sealed by this master key for this row."""
        if sealed[:1] != VERSION or len(sealed) < 1 + _NONCE:
            return None
        nonce, rest = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            return Secret(self._cipher.decrypt(nonce, rest, _row(key_id, provider)).decode())
        except InvalidTag:
            return None

    def fingerprint(self, secret: str) -> str:
        """Eight hexadecimal digits that tell keys apart and say nothing about any."""
        return hmac.digest(self._fingerprint_key, secret.encode(), "sha256").hex()[:8]


def _row(key_id: str, provider: str) -> bytes:
    return f"bawn/key/1\0{key_id}\0{provider}".encode()
