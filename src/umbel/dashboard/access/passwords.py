"""Passwords and tokens: kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from umbel.settings.dashboard import SCRYPT

COST: Final = 14
"""2 to this power: 16 MiB and some 50 ms for each password that is tried."""
BLOCK: Final = 8
MAX_PASSWORD_CHARACTERS: Final = 1_024
_SALT_BYTES: Final = 16
_TOKEN_BYTES: Final = 32
NOBODY: Final = f"scrypt:{COST}:8:1:{'A' * 22}:{'A' * 43}"
"""What the password of an unknown user is compared with, so that names cannot be told by the time an answer takes."""


def hashed_password(password: str) -> str:
    """*password* as it is kept."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt:{COST}:{BLOCK}:1:{_text(salt)}:{_text(_scrypt(password, salt, COST, 1))}"


def is_password(password: str, kept: str) -> bool:
    """Whether *password* is the one that was *kept*; takes as long either way."""
    found = SCRYPT.fullmatch(kept)
    if found is None or len(password) > MAX_PASSWORD_CHARACTERS:
        return False
    made = _scrypt(password, _bytes(found["salt"]), int(found["cost"]), int(found["lanes"]))
    return hmac.compare_digest(_text(made), found["hash"])


def new_token() -> str:
    """A token that nobody can guess."""
    return f"umbel_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def hashed_token(token: str) -> str:
    """*token* as it is kept. It is random and long, so that a quick hash is enough."""
    return f"sha256:{hashlib.sha256(token.encode(errors='surrogateescape')).hexdigest()}"


def is_token(token: str, kept: str) -> bool:
    """Whether *token* is the one that was *kept*."""
    return hmac.compare_digest(hashed_token(token), kept)


def _scrypt(password: str, salt: bytes, cost: int, lanes: int) -> bytes:
    given = password.encode(errors="surrogatepass")
    return hashlib.scrypt(given, salt=salt, n=2**cost, r=BLOCK, p=lanes, maxmem=2 ** (cost + 11), dklen=32)


def _text(given: bytes) -> str:
    return urlsafe_b64encode(given).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
