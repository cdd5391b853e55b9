"""Who reaches whom in which network: two daemons in a lab, a message each way, and what carried it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.interop.driver import Driver
from tests.interop.lab import Lab

NUMBERS = {"d": 1, "a": 2, "b": 3}


@dataclass(frozen=True, slots=True)
class Network:
    """One arrangement of the hosts a and b; d has the DHT node and the TURN server."""

    name: str
    nat: tuple[str, ...] = ()
    turn: bool = False
    ipv4: bool = True
    ipv6: bool = False
    blocked: bool = False
    """a and b cannot reach each other directly at all: only the TURN server is left"""


NETWORKS = (
    Network("one network"),
    Network("one network, TURN configured", turn=True),
    Network("IPv4 and IPv6", ipv6=True),
    Network("IPv6 only", ipv4=False, ipv6=True),
    Network("a behind a NAT", nat=("a",)),
    Network("b behind a NAT", nat=("b",)),
    Network("both behind NATs", nat=("a", "b")),
    Network("both behind NATs, TURN", nat=("a", "b"), turn=True),
    Network("b behind a NAT, TURN", nat=("b",), turn=True),
    Network("TURN only", turn=True, blocked=True),
    Network("TURN only, IPv6 only", turn=True, ipv4=False, ipv6=True, blocked=True),
)


@dataclass(frozen=True, slots=True)
class Player:
    """One of the two daemons with its account."""

    driver: Driver
    account: str
    uri: str


def build(lab: Lab, network: Network, a: str, b: str) -> None:
    """Makes the network with the daemons A and B: `ours`, `real`, or ours with a generation such as `ours 13`."""
    lab.up(["d", "a", "b"], nat=list(network.nat))
    for host, number in NUMBERS.items():
        if network.ipv6:
            lab.run(host, "ip", "-6", "addr", "add", f"fd77::{number}/64", "dev", "eth0", "nodad")
    if not network.ipv4:
        for host in ("a", "b"):
            lab.run(host, "ip", "-4", "addr", "flush", "dev", "eth0")
    if network.blocked:
        for host, other in (("a", "b"), ("b", "a")):
            direct = f"ip saddr 10.77.0.{NUMBERS[other]} drop; ip6 saddr fd77::{NUMBERS[other]} drop"
            rule = f"{direct}; ip6 saddr fe80::/10 tcp dport 1-65535 drop"
            lab.run(host, "nft", f"table inet walls {{ chain in {{ type filter hook input priority 0; {rule}; }}; }}")
    lab.start_dht("d")
    if network.turn:
        lab.start_turn("d", *(["fd77::1"] if network.ipv6 else []))
    for host, kind in (("a", a), ("b", b)):
        if kind == "real":
            lab.start_jamid(host)
        else:
            generation = kind.partition(" ")[2] or "both"
            lab.ours(host, "-c", "-d", "-p", "--generations", generation)


def shape(lab: Lab, rate: str, *hosts: str) -> bool:
    """Lets HOSTS send RATE at most, such as `5mbit`, with a queue of 100 ms; false when the kernel cannot do so."""
    for host in hosts:
        lab.run(host, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "5kb", "latency", "100ms", check=False)
    return all("tbf" in lab.run(host, "tc", "qdisc", "show", "dev", "eth0") for host in hosts)


async def enter(lab: Lab, network: Network, **details: str) -> tuple[Player, Player]:
    """Makes an account with DETAILS on each host and waits until both are announced."""
    server = "10.77.0.1" if network.ipv4 else "[fd77::1]"

    async def player(host: str) -> Player:
        driver = await Driver.connect(lab.bus(host), host)
        public = {"DHT.PublicInCalls": "true", "RingNS.uri": "http://10.77.0.1:1"}
        account, uri = await driver.add_account(f"{server}:4222", server if network.turn else None, **public, **details)
        return Player(driver, account, uri)

    players = await asyncio.gather(player("a"), player("b"))
    return players[0], players[1]


async def settle(lab: Lab, *hosts: str) -> None:
    """Waits until the real daemons among HOSTS have made what their first TLS handshake as server would wait for."""
    for host in hosts:
        while "Saved DhParams" not in lab.log(host):
            await asyncio.sleep(0.1)


async def send(sender: Player, receiver: Player, seconds: float) -> float:
    """Sends a message and waits until it has arrived; returns how long that took, raises TimeoutError."""
    text, since, start = f"message at {time.monotonic()}", len(receiver.driver.signals), time.monotonic()
    words = [sender.account, receiver.uri, {"text/plain": text}]
    if len(sender.driver.configuration.methods["sendTextMessage"]) > len("ssa{ss}"):
        words.append(0)
    await sender.driver.configuration.sendTextMessage(*words)
    await receiver.driver.signal("incomingAccountMessage", lambda *body: text in body[-1].values(), seconds=seconds, since=since)
    return time.monotonic() - start


async def path(network: Network, *players: Player, seconds: float = 20, logs: Callable[[], str] = str) -> str:
    """How the two are connected, as soon as ours among them say so: `direct`, `direct, IPv6` or `relayed`; raises TimeoutError.

    A message may come over the DHT, so only this proves a connection. Between two real daemons their LOGS tell.
    """
    end = time.monotonic() + seconds
    ours = [player for player in players if "getConnectionList" in player.driver.configuration.methods]
    while time.monotonic() < end:
        for player in ours:
            for entry in await player.driver.configuration.getConnectionList(player.account, ""):
                if entry["status"] == "0" and entry.get("remoteAddress"):
                    return _kind(network, entry["remoteAddress"])
        if not ours:
            text = logs()
            pair = re.search(r"TCP connection pairs.*?<-> (\S+):\d+ ", text, re.DOTALL)
            if pair is not None and " is ready - Initied" in text:
                return _kind(network, pair[1].strip("[]"))
        await asyncio.sleep(0.01)
    raise TimeoutError(f"no connection in {network.name!r} within {seconds:.0f} s")


def _kind(network: Network, remote: str) -> str:
    relayed = remote in ("10.77.0.1", "fd77::1") or network.blocked or len(network.nat) == 2
    return "relayed" if relayed else "direct, IPv6" if ":" in remote else "direct"
