"""Accounts of a management server (JAMS): the server keeps the account key and certifies devices (protocol: identity, section 16)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from jamid.accounts.account import State
from jamid.accounts.creation import Device, generate_key
from jamid.accounts.http import HttpClient
from jamid.accounts.managed_client import AccessDenied, DeviceRefused, ManagementServer
from jamid.accounts.receipt import Receipt
from jamid.accounts.seams import SyncParts
from jamid.core.errors import JamidError, LocalError, RemoteError
from jamid.core.signals import AccountDetailsChanged, MigrationEnded, UserSearchEnded
from jamid.core.tasks import in_thread
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount
    from jamid.accounts.origin import Origin

_log = logging.getLogger(__name__)
SEARCH_SUCCESS = 0
SEARCH_ERROR = 3


class Manager:
    """What an account has to do with its management server."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self._http = HttpClient()
        self._server: ManagementServer | None = None

    @property
    def is_used(self) -> bool:
        """Whether the account belongs to a server at all."""
        return bool(self._account.details["Account.managerUri"])

    def server(self) -> ManagementServer:
        """The server; logged in to with the device's certificate once there is one."""
        if self._server is None:
            self._server = ManagementServer(self._account.details["Account.managerUri"], self._http, self._account.clock)
            if self._account.identity is not None:
                details = self._account.details
                self._server.use_identity(details["TLS.certificateFile"], details["TLS.privateKeyFile"])
        return self._server

    async def registered(self) -> None:
        """The account went online: takes over what the server prescribes, then exchanges everything."""
        account = self._account
        try:
            policy = await self.server().policy()
        except DeviceRefused:
            account.tasks.spawn(self._refused(), "refused")
            return
        except JamidError as error:
            _log.info("[account=%s] the account server prescribes nothing: %s", account.id, error)
        else:
            if account.details.update(policy):
                await account.save()
                account.events.publish(AccountDetailsChanged(account.id, account.told_details()))
        await self.synchronise()

    async def synchronise(self) -> None:
        """Exchanges contacts, devices and conversations with the server; what fails is tried again at the next registration."""
        account = self._account
        for exchange in (self._contacts, self._devices, self._conversations):
            try:
                await exchange(self.server())
            except DeviceRefused:
                account.tasks.spawn(self._refused(), "refused")
                return
            except JamidError as error:
                _log.warning("[account=%s] no exchange with the account server: %s", account.id, error)

    async def _contacts(self, server: ManagementServer) -> None:
        contacts = self._account.contacts
        await contacts.merge(await server.sync_contacts(dict(contacts.contacts.items())), {})

    async def _devices(self, server: ManagementServer) -> None:
        account, changed = self._account, False
        for device_id, (name, revoked) in (await server.devices()).items():
            if revoked:
                await account.devices.forget(device_id)
            elif device_id in account.devices.known:
                changed |= account.devices.known.learn(device_id, name)
            elif (certificate := await account.certificate_of(device_id)) is not None:
                await account.devices.found(certificate, name)
        if changed:
            await account.devices.save()
            account.devices.publish()

    async def _conversations(self, server: ManagementServer) -> None:
        account = self._account
        conversations, requests = account.seams.conversations.archived(account.id)
        parts = SyncParts(
            conversations=_by(await server.exchange("conversations", list(conversations.values())), "id"),
            requests=_by(await server.exchange("conversationRequests", list(requests.values())), "conversationId"),
        )
        if parts:
            account.seams.conversations.sync_received(account.id, "", parts)

    async def _refused(self) -> None:
        """The server revoked this device. Its keys stay, as a server may err; with the user's password it becomes a new one."""
        account = self._account
        _log.error("[account=%s] the account server does not let this device in any more", account.id)
        await account.unregister()
        account.events.publish(MigrationEnded(account.id, "INVALID"))
        account.set_state(State.ERROR_NEED_MIGRATION)

    async def search(self, query: str) -> None:
        """Searches the directory and publishes userSearchEnded."""
        try:
            found, status = await self.server().search(query), SEARCH_SUCCESS
        except JamidError as error:
            _log.warning("[account=%s] the directory cannot be searched: %s", self._account.id, error)
            found, status = [], SEARCH_ERROR
        self._account.events.publish(UserSearchEnded(self._account.id, status, query, found))

    async def close(self) -> None:
        await self._http.close()


async def create_managed(account: JamiAccount, origin: Origin) -> None:
    """Makes this installation a device of an account that lives at a server; raises AccessDenied, HttpError or RemoteError."""
    user = account.details["Account.managerUsername"]
    if origin.restore and not origin.password:
        raise LocalError("the account server wants the user's password")
    if not user:
        raise LocalError("Account.managerUsername is needed for an account of a management server")
    key = await generate_key()
    request = await in_thread(device_request, key)
    enrolment = await account.manager.server().enrol(user, origin.password, request, account.device_name)
    if enrolment.certificate.public_key != key.public:
        raise RemoteError("the account server certified another key")
    receipt = Receipt.parse(enrolment.receipt, enrolment.receipt_signature)
    await in_thread(receipt.verify, enrolment.certificate)
    account.details.update(enrolment.details)
    account.config.registered_name = user
    if enrolment.name_server:
        account.details.set("RingNS.uri", enrolment.name_server)
    account.config.archive_path = ""
    account.details.set("Account.archiveHasPassword", True)
    await account.become(Device(Identity(key, enrolment.certificate), receipt))
    await account.profile.set_if_absent(account.display_name, enrolment.photo)
    account.manager.server().use_identity(account.details["TLS.certificateFile"], account.details["TLS.privateKeyFile"])


def _by(entries: list[Mapping[str, Any]], name: str) -> dict[str, Any]:
    return {entry[name]: entry for entry in entries if isinstance(entry.get(name), str)}


def device_request(key: PrivateKey) -> bytes:
    """The PEM certificate request of a device: its name and id, signed by its key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Jami device"), x509.NameAttribute(NameOID.USER_ID, key.public.id.hex())])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key.native, hashes.SHA512())
    return request.public_bytes(serialization.Encoding.PEM)


__all__ = ["AccessDenied", "Manager", "create_managed", "device_request"]
