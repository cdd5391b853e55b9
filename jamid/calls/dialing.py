"""Dialing: a call of ours until one device answers it (protocol: calls, section 4).

One ICE session is gathered first and offered to every device. Devices with an open channel are called at once, the others as soon as
their channel opens. The first to answer gets the call, the rest a CANCEL; a decline ends the whole call, any other error only its leg.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from jamid.calls.call import Call
from jamid.calls.generations import Ending
from jamid.calls.legs import Leg
from jamid.calls.media_maps import is_audio_only
from jamid.calls.negotiation import Formats, Negotiator, RemoteIce
from jamid.calls.states import Link
from jamid.core.errors import JamidError, LocalError, RemoteError
from jamid.core.identifiers import is_account_uri
from jamid.sip.channels import SipChannels
from jamid.sip.exchange import SipExchange
from jamid.sip.offers import IceDescription, SdpAuthor
from jamid.sip.sdp import parse_sdp
from jamid.sip.session_events import EndCause, Ended
from jamid.sip.sessions import InviteSession

_log = logging.getLogger(__name__)

DECLINES = frozenset({486, 600, 603})
"""Answers that speak for the person, not for the device."""
CHANNEL_SECONDS = 30.0


class Dialing:
    """Calls every device of an account, for one call."""

    def __init__(self, call: Call, new_id: Callable[[], str], *, recipient: str = "", device: Any = None) -> None:
        """RECIPIENT stands in To instead of the account; only DEVICE is called when one is given."""
        self._call = call
        self._new_id = new_id
        self._recipient = recipient
        self._device = device
        self._ready = asyncio.Event()
        self._legs: list[Leg] = []
        self._ice: IceDescription | None = None
        self._pending = 1
        """searches and channels under way"""
        self._called: set[str] = set()
        self._last_status = 0
        self._silent = False
        self._known = False
        """whether the account has announced devices, reachable or not"""
        call.early_legs = lambda: tuple(self._legs)

    async def run(self, target: str) -> None:
        """Calls TARGET, an account id or a registered name."""
        call = self._call
        try:
            uri = target if is_account_uri(target) else await call.account.resolve(target)
        except JamidError as error:
            _log.info("call %s: the name %s cannot be looked up: %s", call.id, target[:80], error)
            uri = ""
        if call.over:
            return
        if not uri:
            call.end(Ending.UNKNOWN_NAME)
            return
        call.peer_uri = uri
        sip = call.account.sip
        if sip is None:
            call.end(Ending.NO_DEVICE)
            return
        call.account.allow(uri)
        call.move(link=Link.TRYING)
        call.tasks.spawn(self._learn_name(), "name")
        await asyncio.gather(self._gather(sip), self._search(sip))
        self._done()

    def stop(self) -> None:
        """Hangs up every leg that has not won."""
        legs, self._legs = self._legs, []
        for leg in legs:
            leg.hang_up()

    async def _learn_name(self) -> None:
        self._call.registered_name = await self._call.account.name_of(self._call.peer_uri)

    # -- finding devices ---------------------------------------------------------------------------------------------
    async def _gather(self, sip: SipChannels) -> None:
        """Prepares the media and calls the devices whose channel is open."""
        call = self._call
        streams = sum(each.enabled for each in call.media)
        try:
            self._ice = await call.sound.prepare(2 * streams, controlling=True)
        except ConnectionError as error:
            _log.warning("call %s: no candidates for its media: %s", call.id, error)
            call.end(Ending.ICE_FAILED)
            return
        self._ready.set()
        for exchange in sip.open_to(call.peer_uri):
            if self._device is None or exchange.peer.device_id == _id_of(self._device):
                self._invite(exchange, old=True)

    async def _search(self, sip: SipChannels) -> None:
        """Finds the announced devices and opens channels to those that have none."""
        call = self._call
        try:
            devices = [self._device] if self._device is not None else await call.account.devices_of(call.peer_uri)
        except (OSError, JamidError) as error:
            _log.warning("call %s: the devices of %s cannot be looked up: %s", call.id, call.peer_uri, error)
            devices = []
        others = [each for each in devices if _id_of(each) != call.account.device_id]
        self._known = bool(devices)
        await asyncio.gather(*(self._reach(sip, each) for each in others))

    async def _reach(self, sip: SipChannels, device: Any) -> None:
        call, device_id = self._call, _id_of(device)
        if device_id in self._called or call.over:
            return
        old = sip.existing(device_id) is not None
        try:
            kind = "audioCall" if is_audio_only(call.media) else "videoCall"
            exchange = await sip.get(device, kind=kind, timeout=CHANNEL_SECONDS)
        except (ConnectionError, TimeoutError, JamidError) as error:
            _log.info("call %s: device %s cannot be reached: %s", call.id, device_id[:16], error)
            return
        await self._ready.wait()
        self._invite(exchange, old=old)

    def _invite(self, exchange: SipExchange, *, old: bool) -> None:
        call, device_id = self._call, exchange.peer.device_id
        if call.over or call.leg is not None or exchange.closed or device_id in self._called or device_id == call.account.device_id:
            return
        self._called.add(device_id)
        session = InviteSession.outgoing(exchange, self._recipient or call.peer_uri)
        author = SdpAuthor(self._new_id(), exchange.path.local[0], answering=False, now=call.around.clock.time())
        leg = Leg(session, Negotiator(author, Formats.of_account(call.account.codecs)), self, call.talk)
        leg.over_old_channel = old
        if old:
            exchange.probe()
        self._legs.append(leg)
        try:
            session.call(leg.negotiator.offer(call.media, self._ice))
        except (ConnectionError, LocalError) as error:
            self._legs.remove(leg)
            leg.hang_up()
            _log.warning("call %s: device %s cannot be called: %s", call.id, device_id[:16], error)
            return
        if call.link in (Link.DISCONNECTED, Link.TRYING):
            call.move(link=Link.PROGRESSING)

    # -- LegOwner ----------------------------------------------------------------------------------------------------
    def leg_progressed(self, leg: Leg, status: int) -> None:
        call = self._call
        if status >= 180 and call.link is not Link.RINGING and call.leg is None and not call.over:
            call.move(link=Link.RINGING)
            call.around.audio.ringback(call.id)

    def leg_answered(self, leg: Leg, sdp: bytes) -> None:
        call = self._call
        if call.over or call.leg is not None:
            leg.hang_up()
            return
        self._legs.remove(leg)
        try:
            description = parse_sdp(sdp)
            agreed = leg.negotiator.take_answer(description)
            remote = RemoteIce.of(description)
            if remote is None:
                raise RemoteError("the answer has no ICE credentials")
        except RemoteError as error:
            _log.warning("call %s: the answer of device %s cannot be used: %s", call.id, leg.exchange.peer.device_id[:16], error)
            leg.hang_up()
            self._last_status = 488
            self._done(0)
            return
        self.stop()
        leg.owner = call
        call.leg = leg
        call.connected()
        call.send_queued_texts()
        call.changes.start(agreed, remote)

    def leg_established(self, leg: Leg, sdp: bytes) -> None:
        return None

    def leg_ended(self, leg: Leg, end: Ended) -> None:
        call = self._call
        if leg in self._legs:
            self._legs.remove(leg)
        if call.over or call.leg is not None:
            return
        if end.cause is EndCause.BYE or (end.cause is EndCause.REFUSED and end.status in DECLINES):
            self.stop()
            call.end(Ending.PEER_DECLINED, status=end.status)
            return
        self._last_status = end.status
        self._silent = end.cause is EndCause.SILENCE
        if end.cause is EndCause.LOST and leg.over_old_channel and not leg.responded:
            # The channel was dead before we called: once more over a new one.
            self._called.discard(leg.exchange.peer.device_id)
            call.tasks.spawn(self._again(leg), "again")
            return
        self._done(0)

    # -- details -----------------------------------------------------------------------------------------------------
    async def _again(self, leg: Leg) -> None:
        self._pending += 1
        sip = self._call.account.sip
        if sip is not None:
            await self._reach(sip, leg.exchange.peer.device_id)
        self._done()

    def _done(self, finished: int = 1) -> None:
        """Ends the call when nobody is left who could answer."""
        self._pending -= finished
        call = self._call
        if self._pending or self._legs or call.over or call.leg is not None:
            return
        if not self._called:
            ending = Ending.UNREACHABLE if self._known else Ending.NO_DEVICE
        elif self._last_status == 488:
            ending = Ending.NOT_ACCEPTABLE
        else:
            ending = Ending.NO_ANSWER if self._silent else Ending.PEER_FAILED
        call.end(ending, status=self._last_status)


def _id_of(device: Any) -> str:
    return str(getattr(device, "long_id", device)).lower()
