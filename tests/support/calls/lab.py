"""Whole daemons' worth of calls in memory: accounts, channels, ICE and sound are small stand-ins, SIP and calls are real."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from jamid.calls.call import Surroundings
from jamid.calls.conferences import Conferences
from jamid.calls.group_calls import GroupCalls
from jamid.calls.service import Calls
from jamid.core.clock import SystemClock
from jamid.core.events import Events
from jamid.core.generations import Generation
from jamid.core.signals import CallStateChanged, Signal
from jamid.media.audio_stream import AudioParameters
from jamid.media.statistics import AudioStatistics
from jamid.sip.channels import SipChannels
from jamid.sip.dialogs import LocalParty

GROUP = "9" * 40
AUDIO = [{"MEDIA_TYPE": "MEDIA_TYPE_AUDIO", "ENABLED": "true", "MUTED": "false", "SOURCE": "", "LABEL": "audio_0"}]


class FakeChannel:
    def __init__(self, peer: Any) -> None:
        self.peer = peer
        self.closed = False
        self.far: FakeChannel
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self, limit: int = 65536) -> bytes:
        return await self._inbox.get() if not (self.closed and self._inbox.empty()) else b""

    def write_nowait(self, data: bytes) -> None:
        self.far._inbox.put_nowait(data)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._inbox.put_nowait(b"")
            self.far.close()


@dataclass
class FakePeer:
    device_id: str
    account_uri: str


class FakeConnections:
    """Opens channels to the other devices of one lab; those in `unreachable` refuse."""

    def __init__(self, me: FakePeer, network: dict[str, FakeConnections]) -> None:
        self.me = me
        self.network = network
        self.handler: Any = None
        network[me.device_id] = self
        self.unreachable: set[str] = set()

    def handle(self, scheme: str, handler: Any) -> None:
        assert scheme == "sip"
        self.handler = handler

    async def open(self, device: Any, name: str, *, kind: str = "", timeout: float = 30, only_existing: bool = False) -> FakeChannel:
        await asyncio.sleep(0)
        device_id = str(device)
        if device_id in self.unreachable or device_id not in self.network:
            raise ConnectionError("nobody there")
        there = self.network[device_id]
        mine, theirs = FakeChannel(there.me), FakeChannel(self.me)
        mine.far, theirs.far = theirs, mine
        assert there.handler.accepts(self.me, name)
        there.handler.opened(theirs)
        return mine


class FakeIce:
    """Two of them that were given each other's credentials are connected."""

    everyone: dict[str, FakeIce] = {}
    numbers = itertools.count(1)

    def __init__(self, components: int, *, controlling: bool) -> None:
        self.components = components
        self.controlling = controlling
        number = next(self.numbers)
        self.ufrag, self.pwd = f"{number:08x}", f"{number:024x}"
        self.receivers: dict[int, Callable[[bytes], None]] = {}
        self.remote: FakeIce | None = None
        self.closed = False
        self.fails = False
        self.on_lost: Callable[[], None] | None = None
        self.everyone[self.ufrag] = self

    async def gather(self) -> None:
        await asyncio.sleep(0)

    def candidates(self, component: int) -> list[str]:
        return [f"Ha4d0002 {component} UDP {2130706432 - component} 10.77.0.2 {40000 + component} typ host"]

    async def connect(self, ufrag: str, pwd: str, candidates: Sequence[str]) -> None:
        await asyncio.sleep(0.01)
        if self.fails or not candidates:
            raise ConnectionError("no path")
        self.remote = self.everyone.get(ufrag)
        if self.remote is not None:
            assert self.remote.pwd == pwd
            assert self.remote.controlling is not self.controlling

    def on_data(self, component: int, receive: Callable[[bytes], None]) -> None:
        self.receivers[component] = receive

    def send(self, component: int, data: bytes) -> None:
        if self.remote is not None and component in self.remote.receivers and not self.remote.closed:
            self.remote.receivers[component](data)

    def path(self, component: int) -> None:
        return None

    def pairs(self) -> list[tuple[int, str, str]]:
        return [(1, "10.77.0.2:40001 [host]", "10.77.0.3:40001 [host]")] if self.remote is not None else []

    async def close(self) -> None:
        self.closed = True
        self.everyone.pop(self.ufrag, None)


@dataclass
class FakeStream:
    parameters: AudioParameters
    send_rtp: Callable[[bytes], Any]
    muted: bool = False
    held: bool = False
    source: str = ""
    closed: bool = False
    received: list[bytes] = field(default_factory=list)
    digits: str = ""
    room: str = ""
    peer_muted: bool = False
    next_sequence: int = 1000

    @property
    def id(self) -> str:
        return self.parameters.stream_id

    def receive_rtp(self, data: bytes) -> None:
        self.received.append(data)

    def receive_rtcp(self, data: bytes) -> None:
        return None

    def set_muted(self, muted: bool) -> None:
        self.muted = muted

    def set_held(self, held: bool) -> None:
        self.held = held

    def set_source(self, source: str) -> None:
        self.source = source

    def set_peer_muted(self, muted: bool) -> None:
        self.peer_muted = muted

    def join(self, room: str) -> None:
        self.room = room

    def leave(self) -> None:
        self.room = ""

    def send_dtmf(self, digits: str, duration_ms: int = 250) -> None:
        self.digits += digits

    async def close(self) -> AudioStatistics:
        self.closed = True
        return AudioStatistics()

    def close_soon(self) -> None:
        self.closed = True


@dataclass
class FakeAudio:
    streams: list[FakeStream] = field(default_factory=list)
    sounding: dict[str, str] = field(default_factory=dict)
    digits: str = ""
    recordings: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, bool] = field(default_factory=dict)

    def open_stream(self, parameters: AudioParameters, send_rtp: Callable[[bytes], Any], send_rtcp: Callable[[bytes], Any]) -> Any:
        stream = FakeStream(parameters, send_rtp, parameters.muted, parameters.held, parameters.source)
        self.streams.append(stream)
        return stream

    def ringing(self, call_id: str, details: Any) -> None:
        self.sounding[call_id] = "ringtone"

    def ringback(self, call_id: str) -> None:
        self.sounding[call_id] = "ringback"

    def quiet(self, call_id: str) -> None:
        self.sounding.pop(call_id, None)

    def dtmf(self, key: str) -> None:
        self.digits += key

    def telephone_tone(self, kind: int) -> None:
        return None

    def set_host(self, room: str, *, present: bool) -> None:
        self.hosts[room] = present

    async def start_recording(self, call_id: str, streams: Any) -> str:
        self.recordings[call_id] = f"/tmp/{call_id}.ogg"
        return self.recordings[call_id]

    async def stop_recording(self, call_id: str) -> str:
        return self.recordings.pop(call_id, "")


@dataclass
class FakeHistory:
    ended: list[tuple[str, str, int, str]] = field(default_factory=list)

    def call_ended(self, account_id: str, peer_uri: str, duration_ms: int, reason: str) -> None:
        self.ended.append((account_id, peer_uri, duration_ms, reason))


@dataclass
class FakeAccount:
    id: str
    uri: str
    device_id: str
    lab: Lab
    details: dict[str, str] = field(default_factory=dict)
    codecs: list[int] = field(default_factory=lambda: [27, 139, 86076])
    banned: set[str] = field(default_factory=set)
    sip: SipChannels | None = None
    ice_fails: bool = False
    ices: list[FakeIce] = field(default_factory=list)

    def accepts_calls_of(self, uri: str) -> bool:
        return uri not in self.banned

    def allow(self, uri: str) -> None:
        self.banned.discard(uri)

    async def resolve(self, name: str) -> str:
        return next((node.account.uri for node in self.lab.nodes if node.name == name), "")

    async def devices_of(self, uri: str) -> list[str]:
        await asyncio.sleep(0)
        return [node.account.device_id for node in self.lab.nodes if node.account.uri == uri]

    async def name_of(self, uri: str) -> str:
        return next((node.name for node in self.lab.nodes if node.account.uri == uri), "")

    def ice(self, components: int, *, controlling: bool) -> FakeIce:
        ice = FakeIce(components, controlling=controlling)
        ice.fails = self.ice_fails
        self.ices.append(ice)
        return ice


@dataclass
class Node:
    """One daemon."""

    name: str
    account: FakeAccount
    calls: Calls
    conferences: Conferences
    events: Events
    audio: FakeAudio
    history: FakeHistory
    connections: FakeConnections
    told: list[Signal] = field(default_factory=list)

    def states(self, call_id: str = "") -> list[tuple[str, int]]:
        """(state, code) of every callStateChanged."""
        return [(each.state, each.code) for each in self.told if isinstance(each, CallStateChanged) and call_id in ("", each.call_id)]

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.told if isinstance(each, kind)]

    @property
    def incoming(self) -> str:
        """The id of the newest incoming call."""
        return [call for call in self.calls.ids("") if self.calls.find(call).incoming][-1]

    def place(self, other: Node, media: list[dict[str, str]] = AUDIO) -> str:
        return self.calls.place(self.account.id, f"jami:{other.account.uri}", media)


class FakeGroups:
    """One group that every daemon of a lab is in, except those in `strangers`."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.strangers: set[str] = set()
        self.ended: list[tuple[str, int]] = []
        self.homes: dict[str, FakeAccount] = {}
        self.unwilling: set[str] = set()
        """accounts that host nothing"""

    def is_member(self, account_id: str, conversation_id: str, uri: str) -> bool:
        return conversation_id == GROUP and uri not in self.strangers

    async def may_host(self, account_id: str, conversation_id: str) -> bool:
        return account_id not in self.unwilling

    def active_calls(self, account_id: str, conversation_id: str) -> list[dict[str, str]]:
        return list(self.calls)

    def call_began(self, account_id: str, conversation_id: str, conference_id: str) -> None:
        home = self.homes[account_id]
        self.calls.append({"id": conference_id, "uri": home.uri, "device": home.device_id})

    def call_over(self, account_id: str, conversation_id: str, conference_id: str, duration_ms: int) -> None:
        self.ended.append((conference_id, duration_ms))
        self.calls = [call for call in self.calls if call["id"] != conference_id]


class Lab:
    """Daemons that can reach each other."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._network: dict[str, FakeConnections] = {}
        self.groups = FakeGroups()

    def add(self, name: str, account_digit: str, generation: Generation = Generation.G13, **options: Any) -> Node:
        number = len(self.nodes) + 1
        account = FakeAccount(f"{number:016x}", account_digit * 40, f"{number}" * 64, self)
        events, audio, history = Events(), FakeAudio(), FakeHistory()
        connections = FakeConnections(FakePeer(account.device_id, account.uri), self._network)
        account.sip = SipChannels(connections, lambda: LocalParty(account.uri, contact_user=account.device_id[:40], display_name=name))
        around = Surroundings(events, SystemClock(), audio, history, generation, **options)

        class Accounts:
            def find(self, account_id: str) -> FakeAccount | None:
                return account if account_id == account.id else None

        calls = Calls(Accounts(), around)
        conferences = Conferences(Accounts(), calls, around)
        GroupCalls(calls, conferences, self.groups, events, SystemClock())
        self.groups.homes[account.id] = account
        calls.serve(account, account.sip)
        node = Node(name, account, calls, conferences, events, audio, history, connections)
        events.subscribe(Signal, node.told.append)
        self.nodes.append(node)
        return node

    async def close(self) -> None:
        for node in self.nodes:
            await node.calls.close()
            await node.account.sip.close()


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    FakeIce.everyone.clear()
    lab = Lab()
    yield lab
    await lab.close()
    assert not FakeIce.everyone, "ICE sessions were left open"


@pytest.fixture
def settle() -> Callable[..., Awaitable[None]]:
    async def run(seconds: float = 0.05) -> None:
        await asyncio.sleep(seconds)
        # On a busy machine the time may pass before the work is done: turns of the loop are what counts.
        for _ in range(20):
            await asyncio.sleep(0.001)
            for _ in range(20):
                await asyncio.sleep(0)

    return run
