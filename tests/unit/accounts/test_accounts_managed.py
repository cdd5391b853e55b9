"""Accounts of a management server, against a small one that answers as the real one does (protocol: identity, section 16)."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509

from jamid.accounts import managed
from jamid.accounts.account import State
from jamid.accounts.archive import Archive
from jamid.accounts.receipt import Receipt
from jamid.accounts.seams import NoConversations, SyncParts
from jamid.core.clock import ManualClock
from jamid.core.signals import AccountDetailsChanged, DeviceRevocationEnded, MigrationEnded, RegistrationStateChanged, UserSearchEnded
from jamid.crypto.certificates import create_device_certificate
from jamid.crypto.keys import PrivateKey, PublicKey
from tests.support.accounts.world import Machine, MemoryDht, new_archive, new_device, settle
from tests.unit.accounts.test_accounts_names import serving

USER, PASSWORD = "alice", "secret"


class Jams:
    """The server's side of one account."""

    def __init__(self, *, newer: bool = True) -> None:
        self.archive: Archive = new_archive()
        self.contacts: list[dict[str, Any]] = [{"uri": "5" * 40, "added": 1_700_000_000, "confirmed": True, "conversationId": "c" * 40}]
        self.revoked: list[str] = []
        self.device = ""
        self.tokens = 0
        self.refuse = False
        self.locked_out = False
        self.conversations: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.policy: dict[str, Any] = {}
        self.other_devices: list[dict[str, Any]] = []
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
        if newer:
            self.application.add_routes(
                [
                    web.get("/api/auth/policyData", self.prescribe),
                    web.post("/api/auth/conversations", self.sync_conversations),
                    web.post("/api/auth/conversationRequests", self.sync_requests),
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
                "Account.autoAnswer": True,
                "Account.rendezVous": "true",
                "Account.managerUri": "https://other.example.org",
                "TLS.certificateFile": "/etc/passwd",
            }
        )

    async def log_in(self, request: web.Request) -> web.Response:
        basic = request.headers.get("Authorization", "")
        if self.locked_out or basic not in ("", "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()):
            raise web.HTTPUnauthorized
        if basic:
            return web.json_response({"access_token": "of the user", "expires_in": 3600, "scope": "USER"})
        self.tokens += 1
        return web.json_response({"access_token": f"t{self.tokens}", "expires_in": 3600, "scope": "DEVICE"})

    def check(self, request: web.Request, token: str = "") -> None:
        if self.refuse or request.headers.get("Authorization") != f"Bearer {token or f't{self.tokens}'}":
            self.refuse = False
            raise web.HTTPUnauthorized

    async def prescribe(self, request: web.Request) -> web.Response:
        self.check(request)
        return web.json_response(self.policy)

    async def sync_conversations(self, request: web.Request) -> web.Response:
        self.check(request)
        self.conversations += await request.json()
        return web.json_response(self.conversations)

    async def sync_requests(self, request: web.Request) -> web.Response:
        self.check(request)
        self.requests += await request.json()
        return web.json_response(self.requests)

    async def sync_contacts(self, request: web.Request) -> web.Response:
        self.check(request)
        self.contacts += [contact for contact in await request.json() if contact["uri"] not in {known["uri"] for known in self.contacts}]
        return web.json_response(self.contacts)

    async def devices(self, request: web.Request) -> web.Response:
        self.check(request)
        return web.json_response([{"deviceId": self.device, "alias": "named by the server"}, *self.other_devices])

    async def search(self, request: web.Request) -> web.Response:
        self.check(request)
        return web.json_response({"profiles": [{"username": request.query["queryString"], "id": "6" * 40, "photo": None}]})

    async def revoke(self, request: web.Request) -> web.Response:
        self.check(request, "of the user")
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


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    async def generate() -> PrivateKey:
        return await asyncio.to_thread(PrivateKey.generate, 2048)

    monkeypatch.setattr(managed, "generate_key", generate)


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
        assert account.details["Account.autoAnswer"] == account.details["Account.rendezVous"] == "true"
        assert account.details["Account.managerUri"] == url, "a server does not send its users away"
        assert account.details["TLS.certificateFile"] == str(account.data_path / "ring_device.crt")
        assert account.registered_name == USER
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
        await account.vault.revoke("d" * 64, "wrong", "password")
        assert machine.signals(DeviceRevocationEnded)[-1].status == 1
        await machine.accounts.close()


async def test_conversations_devices_and_details_come_from_the_server(machine: Machine) -> None:
    class Conversations(NoConversations):
        def __init__(self) -> None:
            self.received: list[SyncParts] = []

        def archived(self, account_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
            return {"a" * 40: {"id": "a" * 40, "created": 1, "members": []}}, {}

        def sync_received(self, account_id: str, device_id: str, parts: SyncParts) -> None:
            self.received.append(parts)

    jams, conversations = Jams(), Conversations()
    machine.environment.seams.conversations = conversations
    jams.requests = [{"conversationId": "b" * 40, "from": "5" * 40, "received": 2}]
    other = new_device(jams.archive).identity.certificate
    await machine.environment.certificates.pin(other)
    jams.other_devices = [{"deviceId": other.long_id.hex(), "alias": "laptop"}, {"deviceId": "e" * 64, "alias": "unheard of"}]
    jams.policy = {"Account.ringtoneEnabled": False, "Account.username": "9" * 40, "Account.uiCustomization": "{}", "nonsense": 1}
    async with serving(jams.application) as url:
        account = machine.accounts.jami(await enrolled(machine, url))
        assert account is not None
        assert {"a" * 40} == {entry["id"] for entry in jams.conversations}
        assert set(conversations.received[0].conversations) == {"a" * 40}
        assert set(conversations.received[0].requests) == {"b" * 40}
        assert account.devices.known.names()[other.long_id.hex()] == "laptop"
        assert "e" * 64 not in account.devices.known
        assert account.details["Account.ringtoneEnabled"] == "false"
        assert account.told_details()["Account.username"] == account.uri
        assert machine.signals(AccountDetailsChanged)
        await machine.accounts.close()


async def test_server_without_the_newer_calls_still_exchanges_contacts(machine: Machine) -> None:
    jams = Jams(newer=False)
    async with serving(jams.application) as url:
        account = machine.accounts.jami(await enrolled(machine, url))
        assert account is not None
        assert account.contacts.contacts.is_active("5" * 40)
        assert account.state is State.REGISTERED
        await machine.accounts.close()


async def test_device_that_the_server_revoked_waits_for_the_password(machine: Machine) -> None:
    jams = Jams()
    async with serving(jams.application) as url:
        account = machine.accounts.jami(await enrolled(machine, url))
        assert account is not None
        device = account.device_id
        jams.locked_out = True
        jams.refuse = True
        await account.manager.synchronise()
        await settle(0.3)
        assert account.state is State.ERROR_NEED_MIGRATION
        assert machine.signals(MigrationEnded) == [MigrationEnded(account.id, "INVALID")]
        jams.locked_out = False
        await machine.accounts.set_details(account.id, {"Account.archivePassword": PASSWORD})
        async with asyncio.timeout(30):
            while account.state is not State.REGISTERED:
                await asyncio.sleep(0.05)
        assert account.device_id != device
        assert machine.signals(MigrationEnded)[-1] == MigrationEnded(account.id, "SUCCESS")
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
