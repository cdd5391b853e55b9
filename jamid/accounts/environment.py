"""What all accounts of a daemon share."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jamid.accounts.certificate_store import CertificateStore
from jamid.accounts.seams import Seams
from jamid.core.clock import Clock, SystemClock
from jamid.core.events import Events
from jamid.core.generations import BOTH, Generation
from jamid.core.paths import Paths
from jamid.core.settings import Settings

if TYPE_CHECKING:
    from jamid.accounts.dht_pool import DhtPool
    from jamid.accounts.jami import JamiAccount
    from jamid.accounts.names import NameDirectory
    from jamid.net.connections import Connections


def _connect(account: JamiAccount) -> Connections:
    # The network room with TLS and ICE costs 60 ms and 8 MiB: for those who go online.
    from jamid.accounts.connecting import connect

    return connect(account)


@dataclass(slots=True)
class Environment:
    """The daemon around its accounts."""

    paths: Paths
    settings: Settings
    events: Events
    certificates: CertificateStore
    dht_pool: DhtPool
    names: NameDirectory
    seams: Seams = field(default_factory=Seams)
    clock: Clock = field(default_factory=SystemClock)
    generations: frozenset[Generation] = BOTH
    connect: Callable[[JamiAccount], Connections] | None = _connect
    """makes the connections of an account that goes online; None: an account without connections, for tests of the rest"""

    @property
    def host_name(self) -> str:
        """The default name of a device."""
        return socket.gethostname()
