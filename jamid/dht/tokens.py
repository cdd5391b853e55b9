"""Write tokens: proof that a node receives at the address it writes from (protocol: opendht, section 15)."""

from __future__ import annotations

import hashlib
import hmac
import random
from typing import Final

from jamid.dht.addresses import packed_host

SECRET_LIFETIME: Final = (15 * 60.0, 45 * 60.0)


class Tokens:
    """Makes and checks tokens; a token lives for one to two rotations of the secret."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._secret = self._old_secret = rng.randbytes(8)

    def rotate(self) -> None:
        """Ends the older half of the tokens given out."""
        self._old_secret = self._secret
        self._secret = self._rng.randbytes(8)

    def make(self, address: tuple[str, int]) -> bytes:
        """The token for ADDRESS."""
        return _token(self._secret, address)

    def check(self, token: bytes, address: tuple[str, int]) -> bool:
        """Whether we gave TOKEN to ADDRESS lately."""
        return hmac.compare_digest(token, _token(self._secret, address)) or hmac.compare_digest(token, _token(self._old_secret, address))


def _token(secret: bytes, address: tuple[str, int]) -> bytes:
    return hashlib.sha256(secret + packed_host(address[0]) + address[1].to_bytes(2, "big")).digest()
