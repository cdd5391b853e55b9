"""The node on real sockets: names, ports, status, discovery, start and stop."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, Family, is_martian, split_host_port, unpack_nodes, unpack_sockaddr
from jamid.dht.discovery import Discovery, dht_payload, pack_publication, read_dht_payload, read_publication
from jamid.dht.outbox import Outbox
from jamid.dht.service import DhtNode, DhtSettings, Status, WireValue
from tests.support.dht.real import connected, our_node


async def test_bootstrap_by_name_and_by_number() -> None:
    async with our_node() as server:
        for host in (f"localhost:{server.port}", f"127.0.0.1:{server.port}"):
            node = DhtNode(DhtSettings(host4="127.0.0.1", host6=""))
            history: list[Status] = []
            node.on_status(history.append)
            node.bootstrap([host])
            await node.start()
            assert node.status is Status.CONNECTING, "operations wait for the outcome"
            await connected(node)
            assert history == [Status.CONNECTING, Status.CONNECTED]
            await node.stop()
            assert node.status is Status.DISCONNECTED


async def test_operations_wait_until_it_is_known_whether_there_is_a_network() -> None:
    async with our_node() as server:
        node = DhtNode(DhtSettings(host4="127.0.0.1", host6="", bootstrap=(f"127.0.0.1:{server.port}",)))
        await node.start()
        assert await node.put(InfoHash.of("early"), WireValue(1, data=b"x"))
        assert server.core.storage.find(InfoHash.of("early"), 1) is not None
        await node.stop()


async def test_without_a_network_everything_fails_at_once_but_own_values_are_there() -> None:
    async with our_node() as node:
        async with asyncio.timeout(1):
            assert not await node.put(InfoHash.of("mine"), WireValue(1, data=b"x"))
            result = await node.get(InfoHash.of("mine"))
        assert (result.ok, [value.id for value in result.values]) == (False, [1])


async def test_a_taken_port_is_told_plainly() -> None:
    async with our_node() as node:
        second = DhtNode(DhtSettings(host4="127.0.0.1", host6="", port=node.port))
        with pytest.raises(LocalError, match=f"UDP port {node.port} cannot be bound"):
            await second.start()
    with pytest.raises(LocalError, match="not running"):
        _ = second.core


async def test_packets_that_break_the_handler_do_not_end_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    async with our_node() as node, our_node(f"127.0.0.1:{node.port}") as other:
        calls = 0

        def broken(_data: bytes, _source: tuple[str, int]) -> None:
            nonlocal calls
            calls += 1
            raise RuntimeError("a bug")

        monkeypatch.setattr(node.core, "receive", broken)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", ("127.0.0.1", node.port))
            await asyncio.sleep(0.05)
        assert calls >= 1
        monkeypatch.undo()
        assert (await other.get(InfoHash.of("x"))).ok


async def test_a_cancelled_get_leaves_nothing_running() -> None:
    async with our_node() as node, our_node(f"127.0.0.1:{node.port}") as other:
        task = asyncio.ensure_future(other.get(InfoHash.of("x")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await other.get(InfoHash.of("x"))).ok


def test_hosts_and_ports() -> None:
    assert split_host_port("bootstrap.jami.net") == ("bootstrap.jami.net", 4222)
    assert split_host_port(" 10.0.0.1:5000 ") == ("10.0.0.1", 5000)
    assert split_host_port("[2001:db8::1]:5000") == ("2001:db8::1", 5000)
    assert split_host_port("[::1]") == split_host_port("::1") == ("::1", 4222)
    for bad in ("", ":4222", "host:", "host:0x1", "host:70000", "[::1", "[::1]5"):
        if bad != "host:":
            with pytest.raises(LocalError, match="host"):
                split_host_port(bad)


def test_addresses_nobody_has() -> None:
    for host in ("0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "ff02::1", "::", "::ffff:10.0.0.1"):
        assert is_martian(Address(host, 4222))
    assert is_martian(Address("10.0.0.1", 0))
    for host in ("10.0.0.1", "127.0.0.1", "fe80::1", "2001:db8::1"):
        assert not is_martian(Address(host, 4222))
    with pytest.raises(RemoteError, match="node list"):
        unpack_nodes(bytes(27), Family.V4, 8)
    with pytest.raises(RemoteError, match="socket address"):
        unpack_sockaddr(b"\x01\x00")


def test_multicast_packets() -> None:
    node_id = InfoHash.from_hex("a2a6ccf4bda6cfc358de25e3f3301e1737c0f53b")
    packet = pack_publication({"dht": dht_payload(node_id, 41051, 0)})
    assert packet.hex() == "81a364687493c414a2a6ccf4bda6cfc358de25e3f3301e1737c0f53bcda05b00"
    services = read_publication(packet)
    assert services is not None
    assert read_dht_payload(services["dht"]) == (node_id, 41051, 0)
    assert read_publication(b"\xa1q") is None
    for bad in (b"", b"\xc0", b"\x90", b"\x81\x01\x02"):
        with pytest.raises(RemoteError):
            read_publication(bad)
    for payload in (None, [], [b"x" * 20, 0, 0], [b"x" * 19, 5, 0], [b"x" * 20, "5", 0]):
        with pytest.raises(RemoteError):
            read_dht_payload(payload)


async def test_a_query_is_answered_with_what_is_published() -> None:
    teller, asker = Discovery(), Discovery()
    if not teller.start():
        pytest.skip("no multicast here")
    try:
        found: asyncio.Queue[tuple[object, str]] = asyncio.Queue()
        teller.publish("tea", [1, "two"], Family.V4)
        assert asker.start()
        asker.find("tea", lambda payload, host: found.put_nowait((payload, host)))
        try:
            async with asyncio.timeout(2):
                payload, _host = await found.get()
        except TimeoutError:
            pytest.skip("multicast packets do not arrive here")
        assert payload == [1, "two"]
    finally:
        teller.stop()
        asker.stop()


class FullSocket:
    """A socket whose buffer holds three packets until it is emptied."""

    def __init__(self, inner: socket.socket) -> None:
        self.inner = inner
        self.room = 3
        self.sent: list[bytes] = []
        self.error: OSError | None = None

    def fileno(self) -> int:
        return self.inner.fileno()

    def sendto(self, packet: bytes, _address: tuple[str, int]) -> int:
        if self.error is not None:
            raise self.error
        if not self.room:
            raise BlockingIOError
        self.room -= 1
        self.sent.append(packet)
        return len(packet)


async def test_packets_wait_for_a_full_socket_in_order() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inner:
        full = FullSocket(inner)
        outbox = Outbox(full, asyncio.get_running_loop())  # type: ignore[arg-type]
        packets = [bytes((number,)) for number in range(8)]
        assert outbox.send(packets[:5], ("127.0.0.1", 9))
        assert outbox.send(packets[5:], ("127.0.0.1", 9))
        assert full.sent == packets[:3]
        full.room = 100
        async with asyncio.timeout(2):
            while len(outbox):
                await asyncio.sleep(0)
        assert full.sent == packets
        full.error = OSError(errno.ENETUNREACH, "unreachable")
        assert not outbox.send([b"x"], ("127.0.0.1", 9))
        full.error = OSError(errno.EMSGSIZE, "too long")
        assert outbox.send([b"x"], ("127.0.0.1", 9)), "a lost packet says nothing of its receiver"
        full.error, full.room = None, 0
        outbox.send([b"x"] * 2 * limits.DHT_WAITING_PACKETS, ("127.0.0.1", 9))
        assert len(outbox) == limits.DHT_WAITING_PACKETS
        outbox.close()
        assert len(outbox) == 0
