"""Push notifications of a DHT proxy: through a gorush server, or straight to a UnifiedPush endpoint (protocol: opendht, section 25)."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash

if TYPE_CHECKING:
    import aiohttp

_log = logging.getLogger(__name__)
_TTL: Final = 86400
_PLATFORMS: Final = {"ios": 1, "android": 2}
_RECORD_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class PushTarget:
    """A client's device."""

    token: str
    """the device's name at its push service; for UnifiedPush the URL to post to"""
    client_id: str = ""
    session_id: str = ""
    topic: str = ""
    """an app id, or `p256dh|auth` of UnifiedPush"""
    platform: str = "android"

    @classmethod
    def from_json(cls, raw: object) -> PushTarget:
        """Reads a push object; a missing token is empty; raises RemoteError."""
        if not isinstance(raw, dict):
            raise RemoteError("a push target is an object")
        texts = {name: raw.get(name, "") for name in ("key", "client_id", "session_id", "topic", "platform")}
        if not all(isinstance(text, str) and len(text) <= limits.DHT_TEXT_BYTES for text in texts.values()):
            raise RemoteError("a push target's fields are short texts")
        return cls(texts["key"], texts["client_id"], texts["session_id"], texts["topic"], texts["platform"] or "android")

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.token,
            "client_id": self.client_id,
            "session_id": self.session_id,
            "topic": self.topic,
            "platform": self.platform,
        }


@dataclass(frozen=True, slots=True)
class Push:
    """A subscription whose news go out as notifications."""

    key: InfoHash
    target: PushTarget
    expires: float
    """Unix seconds"""


class PushSender:
    """Delivers notifications; without a gorush server only to UnifiedPush endpoints."""

    def __init__(self, gorush: str = "") -> None:
        self._gorush = gorush if "://" in gorush or not gorush else f"http://{gorush}"
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, target: PushTarget, data: dict[str, Any], *, urgent: bool = True) -> bool:
        """Whether the push service took DATA."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        try:
            if target.platform == "unifiedpush":
                return await self._unified(self._session, target, data, urgent)
            if not self._gorush:
                return False
            notification = gorush_notification(target, data, urgent)
            async with self._session.post(f"{self._gorush}/api/push", json={"notifications": [notification]}) as response:
                return response.status < 300
        except (aiohttp.ClientError, TimeoutError, ValueError, RemoteError) as error:
            _log.info("a push notification could not be delivered: %s", error or type(error).__name__)
            return False

    async def _unified(self, session: aiohttp.ClientSession, target: PushTarget, data: dict[str, Any], urgent: bool) -> bool:
        headers = {"TTL": str(_TTL), "Urgency": "high" if urgent else "normal"}
        body = json.dumps(data).encode()
        public, separator, secret = target.topic.partition("|")
        if separator:
            body = web_push_encrypt(body, _url_base64(public), _url_base64(secret))
            headers["Content-Encoding"] = "aes128gcm"
        if not target.token.startswith(("https://", "http://")):
            raise RemoteError("a UnifiedPush token is a URL")
        async with session.post(target.token, data=body, headers=headers, allow_redirects=False) as response:
            return response.status < 300


def gorush_notification(target: PushTarget, data: dict[str, Any], urgent: bool) -> dict[str, Any]:
    """One entry of gorush's `notifications`."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in data.items()}
    notification: dict[str, Any] = {"tokens": [target.token], "platform": _PLATFORMS.get(target.platform, 2), "data": texts}
    if target.platform == "ios":
        notification |= {
            "expiration": int(time.time()) + _TTL,
            "topic": target.topic,
            "push_type": "alert" if urgent else "background",
            "priority": "high" if urgent else "normal",
            "mutable_content": True,
            "content_available": not urgent,
        }
    else:
        notification |= {
            "android": {"priority": "high" if urgent else "normal", "ttl": f"{_TTL}s"},
            "priority": "high" if urgent else "normal",
        }
    return notification


def web_push_encrypt(plaintext: bytes, receiver: bytes, secret: bytes, *, salt: bytes = b"", sender_key: int | None = None) -> bytes:
    """PLAINTEXT for a web push receiver (its P-256 point and authentication secret) as aes128gcm (RFC 8188, RFC 8291); raises RemoteError.

    SALT and SENDER_KEY are random unless given.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if len(plaintext) > _RECORD_BYTES - 103:
        raise RemoteError("a web push message is too long")
    curve = ec.SECP256R1()
    try:
        their_key = ec.EllipticCurvePublicKey.from_encoded_point(curve, receiver)
    except ValueError:
        raise RemoteError("not a web push key") from None
    own_key = ec.generate_private_key(curve) if sender_key is None else ec.derive_private_key(sender_key, curve)
    point = own_key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    salt = salt or os.urandom(16)

    def derive(length: int, salt: bytes, info: bytes, material: bytes) -> bytes:
        return HKDF(hashes.SHA256(), length, salt, info).derive(material)

    material = derive(32, secret, b"WebPush: info\0" + receiver + point, own_key.exchange(ec.ECDH(), their_key))
    content_key = derive(16, salt, b"Content-Encoding: aes128gcm\0", material)
    nonce = derive(12, salt, b"Content-Encoding: nonce\0", material)
    head = salt + _RECORD_BYTES.to_bytes(4, "big") + bytes((len(point),)) + point
    return head + AESGCM(content_key).encrypt(nonce, plaintext + b"\x02", None)


def _url_base64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise RemoteError("not base64") from None
