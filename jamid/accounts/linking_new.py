"""A new device gets its account from another one (protocol: identity, section 14, NEW)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from jamid.accounts.archive import SCHEME_KEY, Archive, ArchiveKey
from jamid.accounts.creation import generate_key
from jamid.accounts.linking_states import LinkEnded, LinkError, LinkState, Messages
from jamid.accounts.linking_wire import SCHEME, LinkAddress
from jamid.accounts.peers import PeerFinder
from jamid.core.errors import JamidError, RemoteError
from jamid.core.identifiers import InfoHash, LongId
from jamid.core.signals import DeviceAuthStateChanged
from jamid.core.tasks import in_thread
from jamid.crypto.certificates import Certificate, create_account_certificate, create_ca, create_device_certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount
    from jamid.net.channels import Channel, Peer
    from jamid.net.connections import Connections

_log = logging.getLogger(__name__)
_LINK_SECONDS = 300.0
_CONNECT_SECONDS = 60.0


class LinkTarget:
    """Waits as a temporary device for the one that has the account, and takes its archive."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self._channel: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        self._secrets: asyncio.Queue[tuple[str, str]] = asyncio.Queue(1)
        self._peers = PeerFinder(account.id, account.certificates, account.clock, account.tasks)
        self._address: LinkAddress | None = None
        self._connecting_told = False

    def authenticate(self, password: str, scheme: str) -> None:
        """The user typed the account's password."""
        if not self._secrets.full():
            self._secrets.put_nowait((password, scheme))

    async def run(self) -> tuple[Archive, ArchiveKey | None]:
        """The archive; raises LinkEnded when it was refused or nobody came. DONE is told here only when it failed."""
        identity = await _temporary_identity()
        lease = self._account.environment.dht_pool.lease(self._account.details, identity)
        from jamid.accounts.connecting import turn_server
        from jamid.net.connections import Connections, ConnectionSettings
        from jamid.net.ice_tcp import IceSettings

        connections: Connections | None = None
        try:
            await lease.start()
            self._peers.dht = lease.dht
            connections = Connections(
                identity,
                lease.dht,
                policy=self,
                settings=ConnectionSettings(ice=IceSettings(turn=turn_server(self._account), public_addresses=lease.own_addresses)),
                clock=self._account.clock,
                state_dir=self._account.cache_path,
                generations=self._account.generations,
            )
            connections.handle(SCHEME, self)
            self._address = LinkAddress.new(identity.certificate.long_id)
            await connections.start()
            await lease.connected(_CONNECT_SECONDS)
            await lease.dht.publish_certificate()
            self._tell(LinkState.TOKEN_AVAILABLE, token=str(self._address))
            channel = await self._channel
            try:
                async with asyncio.timeout(_LINK_SECONDS):
                    return await self._take(channel)
            finally:
                channel.close()
        except TimeoutError:
            raise self._ended(LinkError.TIMEOUT, "the other device took too long") from None
        except LinkEnded:
            raise
        except (JamidError, OSError) as error:
            raise self._ended(LinkError.NETWORK, str(error)) from error
        finally:
            if connections is not None:
                await connections.close()
            await lease.close()

    # -- whom the temporary device lets in: anyone who knows the code, on one channel --

    def allows(self, certificate: Certificate) -> bool:
        """Everybody may connect; the code in the channel's name decides."""
        if not self._connecting_told:
            self._connecting_told = True
            self._tell(LinkState.CONNECTING)
        return True

    async def certificate(self, id: InfoHash | LongId) -> Certificate | None:  # noqa: A002 - the seam's name for it
        """A device's certificate from the DHT."""
        return await self._peers.certificate(id)

    def accepts(self, peer: Peer, name: str) -> bool:
        """Exactly one channel, with the code."""
        return self._address is not None and name == self._address.channel and not self._channel.done() and bool(peer.account_uri)

    def opened(self, channel: Channel) -> None:
        """The device that has the account is there."""
        if self._channel.done():
            channel.close()
        else:
            self._channel.set_result(channel)

    # -- the exchange --

    async def _take(self, channel: Channel) -> tuple[Archive, ArchiveKey | None]:
        messages = Messages(channel)
        await messages.send({})
        offer = await self._receive(messages, "authScheme")
        scheme, peer = offer["authScheme"], channel.peer.account_uri
        self._tell(LinkState.AUTHENTICATING, auth_scheme=scheme, peer_id=peer)
        while True:
            password, given_scheme = await self._secrets.get()
            self._tell(LinkState.IN_PROGRESS)
            await messages.send({"password": password})
            answer = await self._receive(messages, "accData", "canRetry")
            if "accData" in answer:
                break
            if answer["canRetry"] != "true":
                raise self._ended(LinkError.AUTHENTICATION, "the password was wrong three times")
            self._tell(LinkState.AUTHENTICATING, auth_scheme=scheme, peer_id=peer, auth_error="invalid_credentials")
        self._tell(LinkState.IN_PROGRESS)
        archive = await in_thread(Archive.from_json, answer["accData"].encode())
        if archive.account_key.public.id.hex() != peer:
            raise RemoteError("the device sent another account than its own")
        key = await in_thread(ArchiveKey.from_password, password) if password and given_scheme != SCHEME_KEY else None
        return archive, key

    async def _receive(self, messages: Messages, *keys: str) -> dict[str, str]:
        payload = await messages.receive(lambda payload: "stateMsg" in payload or any(key in payload for key in keys))
        if "stateMsg" in payload:
            error = LinkError.CANCELED if payload["stateMsg"] == "CANCELED" else LinkError.TIMEOUT
            raise self._ended(error, "the other device gave up")
        return payload

    def _ended(self, error: LinkError, reason: str) -> LinkEnded:
        self._tell(LinkState.DONE, error=error)
        return LinkEnded(f"linking ended: {reason}")

    def _tell(self, state: LinkState, **detail: str) -> None:
        self._account.events.publish(DeviceAuthStateChanged(self._account.id, int(state), detail))


async def _temporary_identity() -> Identity:
    user_key, device_key = await asyncio.gather(generate_key(), generate_key())
    return await in_thread(_certified, user_key, device_key)


def _certified(user_key: PrivateKey, device_key: PrivateKey) -> Identity:
    ca_key = PrivateKey.generate(2048)
    user = create_account_certificate(user_key, ca_key, create_ca(ca_key, name="Jami Temporary CA"))
    return Identity(device_key, create_device_certificate(device_key.public, user_key, user))
