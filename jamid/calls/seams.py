"""What calls need of the rooms beside them; `jamid.app.wiring` gives the real ones, tests give small ones of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from jamid.media.audio_stream import AudioParameters, AudioStream, Path, Send
from jamid.media.statistics import AudioStatistics
from jamid.sip.channels import SipChannels


class MediaIce(Protocol):
    """One ICE session over UDP for the media of one call (`jamid.net.ice_udp.MediaIce`)."""

    on_lost: Callable[[], None] | None
    """called when the peer has not answered for half a minute"""

    @property
    def ufrag(self) -> str: ...
    @property
    def pwd(self) -> str: ...

    async def gather(self) -> None:
        """Finds our candidates; what it cannot find in time is left out."""
        ...

    def candidates(self, component: int) -> list[str]:
        """Values of `a=candidate` of COMPONENT, best first."""
        ...

    async def connect(self, ufrag: str, pwd: str, candidates: Sequence[str]) -> None:
        """Finds a path for every component both sides have; raises ConnectionError when there is none."""
        ...

    def on_data(self, component: int, receive: Callable[[bytes], None]) -> None:
        """Hands the packets of COMPONENT to RECEIVE from now on."""
        ...

    def send(self, component: int, data: bytes) -> None:
        """Sends one packet; nothing before `connect` or after `close`."""
        ...

    def path(self, component: int) -> Path | None:
        """A way of its own for the packets of COMPONENT, of which `on_data` hears nothing from now on; None over a relay."""
        ...

    def pairs(self) -> list[tuple[int, str, str]]:
        """(component, local, remote) of each nominated pair, each address as `10.77.0.2:52402 [host]`."""
        ...

    async def close(self) -> None: ...


class CallAccount(Protocol):
    """What calls need of one account."""

    @property
    def id(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def device_id(self) -> str: ...

    @property
    def details(self) -> Mapping[str, str]:
        """The keys of D-Bus: `Account.autoAnswer`, `Account.rendezVous`, `Account.denySecondCall`, `Account.dtmfType`, …"""
        ...

    @property
    def codecs(self) -> Sequence[int]:
        """The active codecs by id, in order of preference."""
        ...

    @property
    def sip(self) -> SipChannels | None:
        """None while offline."""
        ...

    def accepts_calls_of(self, uri: str) -> bool:
        """Whether URI may call: not banned, and a contact unless strangers may."""
        ...

    def allow(self, uri: str) -> None:
        """The user calls URI, so its devices may connect."""
        ...

    async def resolve(self, name: str) -> str:
        """The account behind a registered name, "" when there is none."""
        ...

    async def devices_of(self, uri: str) -> Sequence[Any]:
        """The certificates of the devices that URI has announced, found in the DHT."""
        ...

    async def name_of(self, uri: str) -> str:
        """The registered name of URI, "" when it has none or the name server does not tell."""
        ...

    def ice(self, components: int, *, controlling: bool) -> MediaIce:
        """A fresh ICE session with the account's STUN and TURN servers."""
        ...


class CallAccounts(Protocol):
    """The accounts by their local id."""

    def find(self, account_id: str) -> CallAccount | None: ...


class CallAudio(Protocol):
    """The sound of calls (`jamid.media.service`)."""

    def open_stream(self, parameters: AudioParameters, send_rtp: Path | Send, send_rtcp: Send) -> AudioStream:
        """Starts one audio line; packets go to the two, a Path's on the media thread, which also asks it for those that came."""
        ...

    def ringing(self, call_id: str, details: Mapping[str, str]) -> None:
        """An incoming call of the account with DETAILS rings: its ringtone plays."""
        ...

    def ringback(self, call_id: str) -> None:
        """The peer's phone rings: the tone of the region plays."""
        ...

    def quiet(self, call_id: str) -> None:
        """Neither any more."""
        ...

    def dtmf(self, key: str) -> None:
        """Plays the tone of KEY to the user."""
        ...

    def set_host(self, room: str, *, present: bool) -> None:
        """Whether the local user takes part in a conference: is heard there and hears it."""
        ...

    def telephone_tone(self, kind: int) -> None:
        """The dial tone (0) or the message tone (1); -1 for silence."""
        ...

    async def start_recording(self, call_id: str, streams: Sequence[str]) -> str:
        """Records the streams with these ids and the user into a file and returns its path; raises LocalError when it cannot."""
        ...

    async def stop_recording(self, call_id: str) -> str:
        """Ends the recording and returns the file's path, "" when there was none."""
        ...


class CallHistory(Protocol):
    """Where ended calls are written down (swarm)."""

    def call_ended(self, account_id: str, peer_uri: str, duration_ms: int, reason: str) -> None:
        """A call of ours to PEER_URI ended; duration 0 when it was never answered, REASON "" for a normal end."""
        ...


class GroupConversations(Protocol):
    """The groups whose calls are hosted and joined (swarm)."""

    def is_member(self, account_id: str, conversation_id: str, uri: str) -> bool:
        """Whether the account has the conversation and URI takes part in it."""
        ...

    async def may_host(self, account_id: str, conversation_id: str) -> bool:
        """Whether the user lets this device host the group's calls at the wish of others."""
        ...

    def active_calls(self, account_id: str, conversation_id: str) -> list[dict[str, str]]:
        """The calls under way, each with `id`, `uri` and `device` of its host."""
        ...

    def call_began(self, account_id: str, conversation_id: str, conference_id: str) -> None:
        """We host a call of the group from now on."""
        ...

    def call_over(self, account_id: str, conversation_id: str, conference_id: str, duration_ms: int) -> None:
        """The call we hosted is over."""
        ...


class NoHistory:
    """Keeps nothing."""

    def call_ended(self, account_id: str, peer_uri: str, duration_ms: int, reason: str) -> None:
        return None


__all__ = ["AudioStatistics", "CallAccount", "CallAccounts", "CallAudio", "CallHistory", "MediaIce", "NoHistory"]
