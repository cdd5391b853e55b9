"""Port mapping at a real miniupnpd: each protocol alone, and a connection through the mapped port."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.interop.lab import REPOSITORY, Lab, LabError
from tests.support.net.networks import Network, enter, path, send

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("miniupnpd", path="/usr/sbin:/usr/bin") is None, reason="needs Debian's package miniupnpd"),
]

_PUBLIC = "11.22.33.44"
_TABLES = """table inet filter {
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }
}
"""
_MAP = """
import asyncio, json, sys
from jamid.net.port_mapping import mapper, natpmp
async def main():
    way = sys.argv[1]
    if way == "UPnP":
        mapper.PortMapper._by_router_port = lambda self, lifetime=0: asyncio.sleep(0)
    else:
        mapper.PortMapper._by_upnp = lambda self: asyncio.sleep(5)
    if way == "NAT-PMP":
        natpmp.ask_pcp_mapping = lambda *a, **k: bytes([9]) + bytes(59)
    async def serve(reader, writer):
        writer.write(b"through"); await writer.drain(); writer.close()
    server = await asyncio.start_server(serve, "0.0.0.0", 0)
    one = mapper.PortMapper(natpmp.TCP, server.sockets[0].getsockname()[1])
    one.start()
    while one.mapping is None:
        await asyncio.sleep(0.05)
    print(json.dumps([one.mapping.method, *one.mapping.external]), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await one.close()
    print("closed", flush=True)
asyncio.run(main())
"""


def start_router(lab: Lab) -> None:
    """Gives b's router a public address and a miniupnpd."""
    lab.run("rb", "nft", _TABLES)
    lab.run("rb", "ip", "addr", "add", f"{_PUBLIC}/32", "dev", "wan")
    lab.run("b", "ip", "route", "add", "239.0.0.0/8", "dev", "eth0")
    configuration = lab.dir / "miniupnpd.conf"
    configuration.write_text(
        f"ext_ifname=wan\next_ip={_PUBLIC}\nlistening_ip=lan\nenable_natpmp=yes\nenable_upnp=yes\nsecure_mode=no\nsystem_uptime=yes\n"
        "uuid=70b31e26-41d8-493e-ab7b-d8fa9c4ddc5b\nallow 1024-65535 0.0.0.0/0 1024-65535\nforce_igd_desc_v1=no\n"
    )
    lab.spawn("rb", "miniupnpd", ["/usr/sbin/miniupnpd", "-d", "-f", str(configuration), "-P", str(lab.dir / "miniupnpd.pid")])


@pytest.mark.parametrize("method", ["PCP", "NAT-PMP", "UPnP"])
def test_a_peer_comes_in_through_the_mapped_port(lab: Lab, method: str) -> None:
    lab.up(["d", "b"], nat=["b"])
    lab.run("d", "ip", "route", "add", f"{_PUBLIC}/32", "via", "10.77.0.2")
    start_router(lab)
    command = ["ip", "netns", "exec", lab.namespace("b"), sys.executable, "-c", _MAP, method]
    environment = lab.environment("b") | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        found, host, port = json.loads(process.stdout.readline())
        assert (found, host) == (method, _PUBLIC)
        fetch = f"import socket; print(socket.create_connection(({host!r}, {port}), 5).recv(100))"
        assert "through" in lab.run("d", sys.executable, "-c", fetch)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "closed\n"
    with pytest.raises(LabError):
        lab.run("d", sys.executable, "-c", fetch)


async def test_real_daemon_behind_a_router_reaches_us_behind_a_mapped_port(lab: Lab) -> None:
    lab.up(["d", "a", "b"], nat=["a", "b"])
    start_router(lab)
    lab.run("ra", "ip", "route", "add", f"{_PUBLIC}/32", "via", "10.77.0.3")
    lab.start_dht("d")
    lab.start_jamid("a")
    lab.ours("b")
    network = Network("a port mapped at b's router", nat=("b",))
    real, ours = await enter(lab, network, **{"Account.upnpEnabled": "true"})
    await send(real, ours, 20)
    assert await path(network, ours) == "direct"
