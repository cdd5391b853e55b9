"""Accounts of a management server, against a small one that answers as the real one does (protocol: identity, section 16)."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509

from jamid.accounts.archive import Archive
from jamid.accounts.receipt import Receipt
from jamid.core.clock import ManualClock
from jamid.core.signals import DeviceRevocationEnded, RegistrationStateChanged, UserSearchEnded
from jamid.crypto.certificates import create_device_certificate
from jamid.crypto.keys import PublicKey
from tests.support.accounts.world import Machine, MemoryDht, new_archive, settle
from tests.unit.accounts.test_accounts_names import serving

USER, PASSWORD = "alice", "secret"


class Jams:
    """The server's side of one account."""

    def __init__(self) -> None:
        self.archive: Archive = new_archive()
        self.contacts: list[dict[str, Any]] = [{"uri": "5" * 40, "added": 1_700_000_000, "confirmed": True, "conversationId": "c" * 40}]
        self.revoked: list[str] = []
        self.device = ""
        self.tokens = 0
        self.refuse = False
        self.application = web.Application()
        self.application.add_routes(
            [
                web.post("/api/auth/device", self.enrol),
                web.post("/api/login", self.log_in),
                web.post("/api/auth/contacts", self.sync_contacts),
                web.get("/api/auth/devices", self.devices),
                web.get("/api/auth/directory/search", self.search),
                web.delete("/api/auth/device/{device}", self.revoke),
            ]
        )

    async def enrol(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            return web.json_response({}, status=401)
        body = await request.json()
        native = x509.load_pem_x509_csr(body["csr"].encode())
        assert native.is_signature_valid
        key = PublicKey(native.public_key())
        assert self.archive.certificate is not None
        certificate = create_device_certificate(key, self.archive.account_key, self.archive.certificate)
        receipt = Receipt.create(self.archive.account_key, key, self.archive.eth_key)
        self.device = certificate.long_id.hex()
        return web.json_response(
            {
                "certificateChain": certificate.to_pem().decode(),
                "deviceReceipt": receipt.text,
                "receiptSignature": base64.b64encode(receipt.signature).decode(),
                "nameServer": "/ns",
                "displayName": "Alice of Example",
                "Account.autoAnswer": "true",
            }
        )

    async def log_in(self, request: web.Request) -> web.Response:
        self.tokens += 1
        return web.json_response({"access_token": f"t{self.tokens}", "expires_in": 3600, "scope": "DEVICE"})

    def check(self, request: web.Request) -> None:
        if self.refuse or request.headers.get("Authorization") != f"Bearer t{self.tokens}":
            self.refuse = False
            raise web.HTTPUnauthorized

    async def sync_contacts(self, request: web.Request) -> web.Response:
        self.check(request)
        self.contacts += [contact for contact in await request.json() if contact["uri"] not in {known["uri"] for known in self.contacts}]
        return web.json_response(self.contacts)

    async def devices(self, request: web.Request) -> web.Response:
        self.check(request)
        return web.json_response([{"deviceId": self.device, "alias": "named by the server"}])

    async def search(self, request: web.Request) -> web.Response:
        self.check(request)
        return web.json_response({"profiles": [{"username": request.query["queryString"], "id": "6" * 40}]})

    async def revoke(self, request: web.Request) -> web.Response:
        self.revoked.append(request.match_info["device"])
        return web.json_response({})


async def enrolled(machine: Machine, url: str, password: str = PASSWORD) -> str:
    account = await machine.accounts.add(
        {"Account.type": "RING", "Account.managerUri": url, "Account.managerUsername": USER, "Account.archivePassword": password}
    )
    for _ in range(400):
        if machine.accounts.get(account) is None or (machine.accounts.jami(account) or machine).__dict__.get("session"):
            break
        await asyncio.sleep(0.05)
    await settle(0.5)
    return account


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    import time

    return Machine(tmp_path, MemoryDht(), ManualClock(time.time() + 5))


async def test_enrolment_contacts_devices_search_and_revocation(machine: Machine) -> None:
    jams = Jams()
    async with serving(jams.application) as url:
        account = machine.accounts.jami(await enrolled(machine, url))
        assert account is not None
        assert account.uri == jams.archive.account_key.public.id.hex()
        assert account.display_name == "Alice of Example"
        assert account.details["RingNS.uri"] == f"{url}/ns"
        assert account.details["Account.autoAnswer"] == "true"
        assert account.contacts.contacts.is_active("5" * 40)
        assert account.devices.known.names() == {account.device_id: "named by the server"}
        jams.refuse = True  # the token has expired at the server: a new one is fetched
        await account.contacts.add("7" * 40)
        await settle(0.5)
        assert "7" * 40 in {contact["uri"] for contact in jams.contacts}
        assert account.search_user("bob")
        await settle(0.3)
        assert machine.signals(UserSearchEnded) == [UserSearchEnded(account.id, 0, "bob", [{"username": "bob", "id": "6" * 40}])]
        await account.vault.revoke("d" * 64, PASSWORD, "password")
        assert machine.signals(DeviceRevocationEnded)[-1].status == 0
        assert jams.revoked == ["d" * 64]
        await machine.accounts.close()


async def test_wrong_password_removes_the_account(machine: Machine) -> None:
    async with serving(Jams().application) as url:
        account = await enrolled(machine, url, "wrong")
        assert machine.accounts.get(account) is None
        assert machine.signals(RegistrationStateChanged)[-1].registration_state == "ERROR_GENERIC"
        await machine.accounts.close()


async def test_server_that_certifies_another_key_is_refused(machine: Machine) -> None:
    jams = Jams()
    honest = jams.enrol

    async def dishonest(request: web.Request) -> web.Response:
        import json

        assert jams.archive.certificate is not None
        answer = json.loads((await honest(request)).text or "")
        other = create_device_certificate(jams.archive.account_key.public, jams.archive.account_key, jams.archive.certificate)
        return web.json_response(answer | {"certificateChain": other.to_pem().decode()})

    jams.application = web.Application()
    jams.application.add_routes([web.post("/api/auth/device", dishonest)])
    async with serving(jams.application) as url:
        account = await enrolled(machine, url)
        assert machine.accounts.get(account) is None
        await machine.accounts.close()
