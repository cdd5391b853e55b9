"""The REST API of account management servers (JAMS), as a device uses it (protocol: identity, section 16)."""

from __future__ import annotations

import base64
import binascii
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from jamid.accounts.contacts import Contact, parse_contacts
from jamid.accounts.details import TABLES
from jamid.accounts.http import HttpClient, HttpError, Response
from jamid.core.errors import LocalError, RemoteError
from jamid.crypto.certificates import Certificate

_UNAUTHORIZED = 401
_TOKEN_MARGIN = 30.0
_LONGEST_TOKEN = 365 * 86_400.0


_OURS = re.compile(r"TLS\..*|Account\.(type|username|deviceID|deviceName|manager.*|archive.*)")
"""Details that no server prescribes: who and where we are."""


class AccessDenied(LocalError):  # noqa: N818 - the server's decision
    """User name or password are wrong, or the device was revoked."""


class DeviceRefused(AccessDenied):
    """The server does not let this device log in any more: it was revoked there."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the server gives a new device."""

    certificate: Certificate
    receipt: str
    receipt_signature: bytes
    name_server: str = ""
    photo: str = ""
    """base64"""
    details: Mapping[str, str] = field(default_factory=dict)
    """account details that the server prescribes"""

    @classmethod
    def from_json(cls, answer: Any, base: str) -> Enrolment:
        """Reads the answer to an enrolment; raises RemoteError."""
        if not isinstance(answer, Mapping):
            raise RemoteError("the account server's answer is no JSON object")
        chain, receipt, signature = (answer.get(name) for name in ("certificateChain", "deviceReceipt", "receiptSignature"))
        if not isinstance(chain, str) or not isinstance(receipt, str) or not isinstance(signature, str):
            raise RemoteError("the account server gave no certificate or receipt")
        try:
            decoded = base64.b64decode(signature)
        except (binascii.Error, ValueError):
            raise RemoteError("the receipt's signature is no base64") from None
        name_server, photo = _text(answer.get("nameServer")), _text(answer.get("userPhoto"))
        details = _prescribed(answer)
        if display_name := _text(answer.get("displayName")):
            details["Account.displayName"] = display_name
        server = base + name_server if name_server.startswith("/") else name_server
        return cls(Certificate.from_pem(chain.encode()), receipt, decoded, server, photo, details)


class ManagementServer:
    """One account at one server."""

    def __init__(self, base: str, http: HttpClient, clock: Any) -> None:
        self.base = base.rstrip("/")
        self._http = http
        self._clock = clock
        self._token = ""
        self._token_ends = 0.0
        self._context: ssl.SSLContext | None = None

    def use_identity(self, certificate_path: str, key_path: str) -> None:
        """Logs in with the device's certificate from now on."""
        context = ssl.create_default_context()
        try:
            context.load_cert_chain(certificate_path, key_path)
        except (OSError, ssl.SSLError) as error:
            raise LocalError(f"the device's certificate cannot be used with the account server: {error}") from error
        self._context = context
        self._token = ""

    async def enrol(self, user: str, password: str, request: bytes, device_name: str) -> Enrolment:
        """Makes this device one of the user's account; raises AccessDenied, HttpError or RemoteError."""
        body = {"csr": request.decode(), "deviceName": device_name}
        answer = await self._send("POST", "/api/auth/device", body, _basic(user, password), as_device=False)
        return Enrolment.from_json(answer.json, self.base)

    async def sync_contacts(self, contacts: Mapping[str, Contact]) -> dict[str, Contact]:
        """Tells the server the contacts; returns the merged ones."""
        body = [contact.to_json() | {"uri": uri} for uri, contact in contacts.items()]
        answer = (await self._as_device("POST", "/api/auth/contacts", body)).json
        entries = answer if isinstance(answer, list) else []
        return parse_contacts(
            {entry["uri"]: entry for entry in entries if isinstance(entry, Mapping) and isinstance(entry.get("uri"), str)}
        )

    async def devices(self) -> dict[str, tuple[str, bool]]:
        """Device id -> name, and whether it was revoked."""
        answer = (await self._as_device("GET", "/api/auth/devices")).json
        devices = {}
        for entry in answer if isinstance(answer, list) else ():
            if isinstance(entry, Mapping) and isinstance(entry.get("deviceId"), str):
                devices[entry["deviceId"]] = (_text(entry.get("alias")), entry.get("revoked") is True)
        return devices

    async def search(self, query: str) -> list[dict[str, str]]:
        """Profiles of the directory that match."""
        answer = (await self._as_device("GET", f"/api/auth/directory/search?queryString={quote(query, safe='')}")).json
        profiles = answer.get("profiles") if isinstance(answer, Mapping) else None
        return [
            {key: value for key, value in profile.items() if isinstance(value, str)}
            for profile in (profiles if isinstance(profiles, list) else ())
            if isinstance(profile, Mapping)
        ]

    async def exchange(self, what: str, entries: list[Any]) -> list[Mapping[str, Any]]:
        """Tells the server our `conversations` or `conversationRequests`; returns those of all devices. Older servers have neither."""
        answer = (await self._as_device("POST", f"/api/auth/{what}", entries)).json
        return [entry for entry in answer if isinstance(entry, Mapping)] if isinstance(answer, list) else []

    async def policy(self) -> dict[str, str]:
        """The account details that the server prescribes now."""
        answer = (await self._as_device("GET", "/api/auth/policyData")).json
        return _prescribed(answer) if isinstance(answer, Mapping) else {}

    async def revoke(self, user: str, password: str, device_id: str) -> None:
        """Revokes a device in the user's name."""
        token, _ = _token((await self._send("POST", "/api/login", {}, _basic(user, password), as_device=False)).json)
        answer = await self._send("DELETE", f"/api/auth/device/{quote(device_id)}", None, _bearer(token), as_device=False)
        if isinstance(answer.json, Mapping) and answer.json.get("errorDetails"):
            raise RemoteError(f"the account server refused: {str(answer.json['errorDetails'])[:200]}")

    async def _as_device(self, method: str, path: str, body: Any = None) -> Response:
        for fresh in (False, True):
            if fresh or not self._token or self._clock.time() > self._token_ends:
                await self._log_in()
            try:
                return await self._send(method, path, body, _bearer(self._token))
            except AccessDenied:
                if fresh:
                    raise
        raise AssertionError("unreachable")

    async def _log_in(self) -> None:
        try:
            answer = await self._send("POST", "/api/login", {}, {})
        except AccessDenied as denied:
            raise DeviceRefused("the account server does not let this device in") from denied
        self._token, seconds = _token(answer.json)
        self._token_ends = self._clock.time() + seconds - _TOKEN_MARGIN

    async def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str], *, as_device: bool = True) -> Response:
        data = None if body is None else json.dumps(body).encode()
        context = self._context if as_device else None
        answer = await self._http.request(method, self.base + path, body=data, headers=headers, context=context)
        if answer.status == _UNAUTHORIZED:
            raise AccessDenied("the account server refused user name, password or device")
        if answer.status >= 400:
            raise HttpError(f"the account server answered {answer.status}")
        return answer


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _token(answer: Any) -> tuple[str, float]:
    """The token that a login gave, and for how many seconds; raises RemoteError."""
    token, seconds = (answer.get("access_token"), answer.get("expires_in", 0)) if isinstance(answer, Mapping) else (None, 0)
    if not isinstance(token, str) or not token or not token.isprintable():
        raise RemoteError("the account server gave no access token")
    return token, float(seconds) if isinstance(seconds, int | float) and 0 < seconds < _LONGEST_TOKEN else 0.0


def _prescribed(answer: Mapping[str, Any]) -> dict[str, str]:
    """The account details in ANSWER."""
    return {
        key: json.dumps(value) if isinstance(value, bool | int) else value
        for key, value in answer.items()
        if key in TABLES["RING"] and not _OURS.fullmatch(key) and isinstance(value, str | bool | int)
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
