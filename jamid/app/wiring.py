"""The one place that knows every class: what the daemon is made of, what each part is given, in which order all start and stop.

To add a room: make its service in `__init__` below what it needs, put it into `_parts` where it is to start, and its D-Bus parts into
`_interfaces`. What starts first stops last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from jamid.accounts.account import State
from jamid.accounts.certificate_store import CertificateStore
from jamid.accounts.dht_pool import DhtPool
from jamid.accounts.environment import Environment
from jamid.accounts.names import NameDirectory
from jamid.accounts.seams import Seams
from jamid.accounts.service import Accounts
from jamid.app.calling import Calling, ConversationCalls
from jamid.app.conversing import Conversing
from jamid.app.housekeeping import Housekeeping
from jamid.app.options import Options
from jamid.app.parts import Part, Running
from jamid.bus.interface import Interface
from jamid.bus.managers.accounts import AccountsPart
from jamid.bus.managers.audio import AudioPart
from jamid.bus.managers.calls import CallsPart
from jamid.bus.managers.certificates import CertificatesPart
from jamid.bus.managers.codecs import CodecsPart
from jamid.bus.managers.conferences import ConferencesPart
from jamid.bus.managers.contacts import ContactsPart
from jamid.bus.managers.conversations import ConversationsPart
from jamid.bus.managers.devices import DevicesPart
from jamid.bus.managers.files import FilesPart
from jamid.bus.managers.instance import InstancePart
from jamid.bus.managers.messages import MessagesPart
from jamid.bus.managers.moderators import ModeratorsPart
from jamid.bus.managers.names import NamesPart
from jamid.bus.managers.network import NetworkPart
from jamid.bus.managers.network_services import NetworkServicesPart
from jamid.bus.managers.plugins import PluginsPart
from jamid.bus.managers.preferences import PreferencesPart
from jamid.bus.managers.presence import PresencePart
from jamid.bus.managers.recording import LocalRecorderPart, PlaybackPart
from jamid.bus.managers.video import VideoPart
from jamid.bus.service import BusService
from jamid.calls.call import Surroundings
from jamid.calls.conferences import Conferences
from jamid.calls.group_calls import GroupCalls
from jamid.calls.service import Calls
from jamid.core.clock import Clock, SystemClock
from jamid.core.events import Events
from jamid.core.generations import Generation
from jamid.core.paths import Paths
from jamid.core.settings import FILE_NAME, Settings
from jamid.core.signals import Started
from jamid.media.service import Media
from jamid.net.network_monitor import NetworkMonitor

if TYPE_CHECKING:
    from jamid.net.connections import Connections
from jamid.swarm.service import Conversations


class RequestStop(Protocol):
    """How a part asks for the daemon's end."""

    def __call__(self, reason: str, code: int = 0) -> None: ...


class ConnectionsByAccount:
    """An account's connections for D-Bus, which names peers by account where the network room names devices."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def connection_list(self, peers: Sequence[str] | None = None) -> list[dict[str, str]]:
        """A map per connection; only those to accounts in PEERS when given."""
        return [entry for entry in self._connections.connection_list() if peers is None or entry["peer"] in peers]

    def channel_list(self, connection_id: str) -> list[dict[str, str]]:
        """A map per channel of one connection."""
        return self._connections.channel_list(connection_id)


class Daemon:
    """Everything that runs in the process."""

    def __init__(self, options: Options, *, request_stop: RequestStop, clock: Clock | None = None, paths: Paths | None = None) -> None:
        self.options = options
        self.clock: Clock = clock or SystemClock()
        self.paths = paths or Paths.from_environment()
        self.events = Events()
        self._request_stop = request_stop
        self._running = Running()
        self.housekeeping = Housekeeping(self.events)

        self.settings = Settings.load(self.paths.config / FILE_NAME)
        self.seams = Seams()
        certificates = CertificateStore(self.paths.data / "certificates", self.events)
        self.accounts = Accounts(
            Environment(
                paths=self.paths,
                settings=self.settings,
                events=self.events,
                certificates=certificates,
                dht_pool=DhtPool(self.paths.cache, certificates, self.clock, options.generations),
                names=NameDirectory(self.paths.cache),
                seams=self.seams,
                clock=self.clock,
                generations=options.generations,
            )
        )
        self.conversations = Conversations(self.events, self.clock)
        self.conversing = Conversing(self.accounts, self.conversations, self.events)
        self.seams.conversations = self.conversing
        self.media = Media(self.settings, self.events, clock=self.clock)
        self.calling = Calling(self.accounts, self.events)
        self.call_history = ConversationCalls(self.conversations, self.clock, self.events)
        around = self._surroundings()
        self.calls = Calls(self.calling, around)
        self.conferences = Conferences(self.calling, self.calls, around)
        self.call_history.hosted = self.conferences.ids
        self.group_calls = GroupCalls(self.calls, self.conferences, self.call_history, self.events, self.clock)
        self.calling.serve(self.calls)
        self.seams.carriers.append(self.calling)
        self.network_monitor = NetworkMonitor(self.accounts.connectivity_changed)
        self.bus = BusService(options.bus, self._interfaces(), self.events, options.api_level, knows_account=self._knows_account)

    # -- what it is made of -----------------------------------------------------------------------------------------------
    def _parts(self) -> list[Part]:
        """In the order of start. The name on the bus comes after the accounts are loaded and before the network is touched."""
        return [
            Part("housekeeping", stop=self.housekeeping.close),
            Part("media", stop=self.media.close),
            Part("accounts", self.accounts.load, self.accounts.close),
            Part("conversations", self.conversing.load, self.conversing.close),
            Part("sip", stop=self.calling.close),
            Part("call history", stop=self.call_history.close),
            Part("conferences", stop=self.conferences.close),
            Part("calls", stop=self.calls.close),
            Part("bus", self._start_bus, self.bus.stop),
            Part("registrations", self.accounts.start),
            Part("network monitor", self.network_monitor.start, self.network_monitor.close),
        ]

    def _interfaces(self) -> list[Interface]:
        return [
            Interface("Instance", [InstancePart(lambda: self._request_stop("the last client left"), persistent=self.options.persistent)]),
            Interface("ConfigurationManager", self._configuration_parts()),
            Interface("CallManager", self._call_parts()),
            Interface("PresenceManager", [PresencePart(self.accounts)]),
            Interface("VideoManager", [VideoPart(self.settings, self.events, self.media), LocalRecorderPart(self.media, self.events)]),
            Interface("PluginManagerInterface", [PluginsPart(self.settings)]),
            Interface("NetworkServiceManager", [NetworkServicesPart(self._knows_account)]),
        ]

    def _call_parts(self) -> list[object]:
        return [CallsPart(self.calls, self.conferences), ConferencesPart(self.conferences), PlaybackPart(self.media)]

    def _configuration_parts(self) -> list[object]:
        accounts = self.accounts
        return [
            AccountsPart(accounts),
            ContactsPart(accounts),
            DevicesPart(accounts),
            NamesPart(accounts),
            CertificatesPart(accounts),
            ModeratorsPart(accounts),
            ConversationsPart(self.conversations),
            MessagesPart(self.conversations),
            FilesPart(self.conversations),
            PreferencesPart(self.settings),
            AudioPart(self.media, self.settings),
            CodecsPart(accounts, self.events),
            NetworkPart(
                self.events,
                connections_of=self._connections_of,
                is_sip=lambda account_id: accounts.sip(account_id) is not None,
                on_connectivity_changed=accounts.connectivity_changed,
            ),
        ]

    def _surroundings(self) -> Surroundings:
        """What calls are given of the rest."""
        return Surroundings(
            self.events,
            self.clock,
            self.media,
            self.conversing,
            # Clients of 2023 are told their codes unless there are none.
            Generation.G17 if self.options.api_level == "17" else Generation.G13,
            ringing_seconds=lambda: self.settings.number("preferences.ringingTimeout"),
            always_record=lambda: self.settings.flag("audio.alwaysRecording"),
            auto_answer=self.options.auto_answer,
        )

    def _connections_of(self, account_id: str) -> ConnectionsByAccount | None:
        account = self.accounts.jami(account_id)
        return None if account is None or account.connections is None else ConnectionsByAccount(account.connections)

    def _knows_account(self, account_id: str) -> bool:
        return self.accounts.get(account_id) is not None

    # -- life -------------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Starts every part in order; raises LocalError when one cannot start."""
        await self._running.start(self._parts())
        self.events.publish(Started())

    async def stop(self, seconds: float) -> None:
        """Stops what has been started, in reverse order, within about SECONDS; a part that fails or hangs does not keep the others."""
        await self._running.stop(seconds)

    def status(self) -> str:
        """One line for people: what the daemon is doing."""
        accounts = list(self.accounts)
        online = sum(account.state is State.REGISTERED for account in accounts)
        return f"{len(accounts)} account{'' if len(accounts) == 1 else 's'}, {online} online"

    async def _start_bus(self) -> None:
        await self.bus.start()
        self.bus.closed.add_done_callback(lambda _: self._request_stop("the bus is gone", 1))
