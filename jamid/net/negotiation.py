"""From a request on the DHT to a connection, as the one who asks and as the one who answers (protocol: connection, sections 2 and 3)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.generations import Generation
from jamid.core.identifiers import LongId, new_53_bit_id
from jamid.crypto.certificates import Certificate, verify_chain
from jamid.crypto.keys import PublicKey
from jamid.dht.values import Value
from jamid.net import candidates, generations
from jamid.net.candidates import Blob, Kind
from jamid.net.connection import Connection
from jamid.net.generations import OfferKey
from jamid.net.ice_tcp import IceTcpSession
from jamid.net.requests import USER_TYPE, PeerRequest, parse_request
from jamid.net.seams import Listening

if TYPE_CHECKING:
    from jamid.net.connections import Connections

_log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 30.0
CHECK_SECONDS: Final = 30.0
FIRST_CHECK_SECONDS: Final = 12.0
"""of a first try, when a second one can do better: the peer's side has failed by then"""
LATE_RELAY_SECONDS: Final = 2.0
"""of a first try, until one TCP connection stands, with a peer without relay: 13.7.0 does not repeat the check that our relay refused
when we did not know its address yet"""
_REPEATS: Final = (4.0, 8.0)
"""When an unanswered offer is put again: the peer drops what it has seen, and a lost or early one gets another chance."""
_CERTIFICATE_SECONDS: Final = 10.0
_CERTIFICATE_RETRIES: Final = (0.5, 1.0, 2.0, 4.0, 4.0, 0.0)
"""Pauses before the sender's certificate is looked up again."""
_SLOW_SERVER_SECONDS: Final = 0.3
"""How long a peer that asked, and so is the TLS server, may let us wait before we ask as well: a real daemon that has just made an
account computes Diffie-Hellman parameters for up to ten seconds first, which it does not need as client."""


class Requester:
    """Makes connections that we want."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._answers: dict[tuple[LongId, int], asyncio.Future[tuple[Blob, Generation]]] = {}

    async def connect(self, device: Certificate, kind: str) -> Connection:
        """A new connection with DEVICE; raises LocalError, RemoteError or ConnectionError with the reason."""
        try:
            return await self._try(device, kind, may_repeat=True)
        except _NoPathError as error:
            if not error.may_repeat:
                raise
            # Our relay now lets in every address of the answer before the peer is told of it.
        except ConnectionError as error:
            _log.info("connection with %s broke while it was made, trying once more: %s", device.long_id, error)
        return await self._try(device, kind, may_repeat=False)

    def answered(self, sender: PublicKey, request: PeerRequest, generation: Generation) -> None:
        """An answer came; the first one to a request of ours counts."""
        future = self._answers.get((sender.long_id, request.id))
        if future is None or future.done():
            return
        try:
            future.set_result((candidates.parse_blob(request.ice_message), generation))
        except RemoteError as error:
            future.set_exception(error)

    async def _try(self, device: Certificate, kind: str, *, may_repeat: bool) -> Connection:
        connections, clock = self._connections, self._connections.clock
        start = clock.monotonic()
        device_id = device.long_id.hex()
        session = IceTcpSession(connections.listener, connections.settings.ice, controlling=False)
        identifier = new_53_bit_id()
        answer: asyncio.Future[tuple[Blob, Generation]] = asyncio.get_running_loop().create_future()
        self._answers[device.long_id, identifier] = answer
        offering: asyncio.Task[None] | None = None
        try:
            blob = await session.gather()
            check_seconds = FIRST_CHECK_SECONDS if may_repeat and session.uses_relay else CHECK_SECONDS
            await session.permit(connections.hints.of(device_id).hosts)
            request = PeerRequest(identifier, blob.encode(), kind=kind)
            offering = connections.tasks.spawn(self._offer(device, request), "offer")
            link_task = asyncio.ensure_future(session.established(ANSWER_SECONDS + check_seconds))
            try:
                await asyncio.wait((answer, link_task), timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                offering.cancel()
                answered = answer.done()
                if answered:
                    _log.debug("request %d answered after %.3f s", identifier, clock.monotonic() - start)
                    remote, generation = answer.result()
                    hosts = [candidate.host for candidate in remote.candidates]
                    connections.hints.learn(device_id, generation=generation, hosts=hosts)
                    await session.start(remote)
                    if may_repeat and session.uses_relay and not any(one.kind is Kind.RELAY for one in remote.candidates):
                        await asyncio.wait((link_task,), timeout=LATE_RELAY_SECONDS)
                        if not session.has_links:
                            check_seconds = 0.0
                elif not link_task.done():
                    raise LocalError(f"device {device_id} did not answer within {ANSWER_SECONDS:.0f} s")
                # Without answer but with a link: the peer proved by its checks that it has our offer, and TLS proves who it is.
                await asyncio.wait((link_task,), timeout=check_seconds)
                if not link_task.done():
                    raise _NoPathError(f"no way to device {device_id} was found", session.uses_relay)
                link = link_task.result()
                _log.debug("request %d: path found after %.3f s, answer seen: %s", identifier, clock.monotonic() - start, answered)
            finally:
                link_task.cancel()
            connection = Connection(
                session, connections.context, connections, connections.clock, identifier=identifier, expected=device, server=True
            )
            await connection.start(link)
        except BaseException:
            await session.close()
            raise
        finally:
            self._answers.pop((device.long_id, identifier), None)
            if offering is not None:
                offering.cancel()
        _established(connections, connection)
        return connection

    async def _offer(self, device: Certificate, request: PeerRequest) -> None:
        """Puts the offer where the device may be listening: where it listened the last time first, and again while nothing answers."""
        hinted = self._connections.hints.of(device.long_id.hex()).generation
        keys = generations.offer_keys(device, self._connections.generations)
        value = Value(id=request.id, data=request.encode(), user_type=USER_TYPE)
        if hinted is not None and len(keys) > 1:
            keys.sort(key=lambda key: key.generation is not hinted)
            await self._put(device, keys[:1], value)
            await asyncio.sleep(generations.SECOND_FORM_DELAY)
            await self._put(device, keys[1:], value)
        else:
            await self._put(device, keys, value)
        for delay in _REPEATS:
            await asyncio.sleep(delay)
            await self._put(device, keys, value)

    async def _put(self, device: Certificate, keys: list[OfferKey], value: Value) -> None:
        dht = self._connections.dht
        start = self._connections.clock.monotonic()
        await asyncio.gather(*(dht.put_encrypted(key.key, device.public_key, value) for key in keys))
        _log.debug("offer %d to %s is on the DHT after %.3f s", value.id, device.long_id, self._connections.clock.monotonic() - start)


class Answerer:
    """Answers the requests of peers."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._pending: Counter[LongId] = Counter()

    def listen(self, requester: Requester) -> list[Listening]:
        """Listens at every key form of this device."""
        connections = self._connections
        keys = generations.offer_keys(connections.identity.certificate, connections.generations)
        return [connections.dht.listen(key.key, self._receiver(requester, key.generation)) for key in keys]

    def _receiver(self, requester: Requester, generation: Generation) -> Callable[[Value, bool], None]:
        def received(value: Value, expired: bool) -> None:
            if not expired and value.user_type == USER_TYPE:
                self._received(requester, value, generation)

        return received

    def _received(self, requester: Requester, value: Value, generation: Generation) -> None:
        connections = self._connections
        own = connections.identity.certificate
        sender = value.owner
        if sender is None or value.recipient != own.id or sender == own.public_key:
            return  # not encrypted to us, or our own value
        try:
            request = parse_request(value.data)
        except RemoteError as error:
            _log.debug("connection request of %s dropped: %s", sender.long_id, error)
            return
        if request.is_answer:
            requester.answered(sender, request, generation)
            return
        if request.id in connections.treated:
            return
        connections.treated.add(request.id)
        if self._pending.total() >= limits.PENDING_OFFERS or self._pending[sender.long_id] >= limits.PENDING_OFFERS_PER_DEVICE:
            _log.warning("too many connection requests under way; one of %s is dropped", sender.long_id)
            return
        self._pending[sender.long_id] += 1
        connections.tasks.spawn(self._answer(sender, request, generation), "answer")

    async def _answer(self, sender: PublicKey, request: PeerRequest, generation: Generation) -> None:
        try:
            await self._negotiate(sender, request, generation)
        except (RemoteError, LocalError, OSError) as error:
            _log.info("request of device %s not answered: %s", sender.long_id, error)
        finally:
            self._pending[sender.long_id] -= 1
            if not self._pending[sender.long_id]:
                del self._pending[sender.long_id]

    async def _negotiate(self, sender: PublicKey, request: PeerRequest, generation: Generation) -> None:
        connections = self._connections
        start = connections.clock.monotonic()
        remote = candidates.parse_blob(request.ice_message)
        device = await self._certificate(sender, generation)
        device_id = device.long_id.hex()
        verify_chain(device, now=datetime.fromtimestamp(connections.clock.time(), UTC))
        if not connections.policy.allows(device):
            raise RemoteError("it is not allowed to connect")
        if not connections.has_room(device_id):
            raise RemoteError("it has too many connections")
        connections.forgive(device_id)
        hosts = [candidate.host for candidate in remote.candidates]
        connections.hints.learn(device_id, generation=generation, hosts=hosts)
        session = IceTcpSession(connections.listener, connections.settings.ice, controlling=True)
        try:
            blob = await session.gather()
            await session.permit(hosts)
            answer = PeerRequest(request.id, blob.encode(), is_answer=True)
            connections.tasks.spawn(self._put_answer(device, answer, generation), "put answer")
            await session.start(remote)
            _log.debug("request %d of %s answered after %.3f s", request.id, device_id, connections.clock.monotonic() - start)
            link = await session.established(CHECK_SECONDS)
            _log.debug("request %d of %s: path found after %.3f s", request.id, device_id, connections.clock.monotonic() - start)
            connection = Connection(
                session, connections.context, connections, connections.clock, identifier=request.id, expected=device, server=False
            )
            slow = asyncio.get_running_loop().call_later(_SLOW_SERVER_SECONDS, connections.ask_as_well, device)
            try:
                await connection.start(link)
            finally:
                slow.cancel()
        except BaseException:
            await session.close()
            raise
        _established(connections, connection)

    async def _put_answer(self, device: Certificate, answer: PeerRequest, generation: Generation) -> None:
        """Answers at the key form that the offer came on."""
        key = generations.offer_keys(device, {generation})[0]
        value = Value(id=answer.id, data=answer.encode(), user_type=USER_TYPE)
        await self._connections.dht.put_encrypted(key.key, device.public_key, value)

    async def _certificate(self, sender: PublicKey, generation: Generation) -> Certificate:
        """The sender's certificate; one that has just been made may reach the DHT after the offer."""
        identifier = sender.id if generation is Generation.G13 else sender.long_id
        for delay in _CERTIFICATE_RETRIES:
            try:
                async with asyncio.timeout(_CERTIFICATE_SECONDS):
                    device = await self._connections.policy.certificate(identifier)
            except TimeoutError:
                device = None
            if device is not None and device.public_key == sender:
                return device
            if self._pending.total() > limits.PENDING_OFFERS // 2:
                break  # strangers without certificates must not keep others waiting
            await asyncio.sleep(delay)
        raise RemoteError("its certificate is neither known nor on the DHT")


class _NoPathError(LocalError):
    """The checks failed although the peer answered."""

    def __init__(self, reason: str, may_repeat: bool) -> None:
        super().__init__(reason)
        self.may_repeat = may_repeat


def _established(connections: Connections, connection: Connection) -> None:
    peer = connection.peer
    connections.hints.learn(peer.device_id, generation=peer.generation, hosts=[connection.remote_address])
    if connection.closed:
        raise ConnectionError("the connection ended as soon as it stood")
    connections.established(connection)
