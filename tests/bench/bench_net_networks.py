"""Writes docs/networks.md: which daemons reach each other in which network, measured in the lab.

python -m tests.bench.bench_net_networks [--only TEXT]          needs root and what the interop tests need
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from tests.interop.lab import Lab, new_name
from tests.support.net.networks import NETWORKS, Network, build, enter, path, send, settle

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "networks.md"
PAIRS = (("ours", "ours"), ("ours", "real"), ("real", "ours"), ("real", "real"))
GENERATIONS = (("ours", "ours 13"), ("ours", "ours 17"), ("ours 13", "ours"), ("ours 17", "ours"), ("ours 13", "ours 17"))
SECONDS = 25.0

_HEAD = """# Who reaches whom, and how

Measured by `python -m tests.bench.bench_net_networks` with two daemons in network namespaces on one machine: host a asks for a
connection by sending a message to host b, and the time is that from the call to the connection as the list of connections shows it
(between two real daemons: their log). "Real" is Debian's jami-daemon 13.7.0, after it has made the parameters that its first TLS
handshake would wait for. Each cell is one run; "no connection": none within 25 s.

Behind two NATs with TURN the first contact waits for the answer: a device does not know from where its peer will knock before, so its
relay lets nobody in. In 12 runs each on a busy machine ours reached the real daemon in 2.0 to 3.3 s (median 2.9), a real one another
real one in 1.6 to 4.3 s (median 3.1). A device met before is let in at once. Two real daemons have no relayed IPv6 address; one of ours
is enough. When ours asks a real one that it never met, that knocks once, before our relay knows it; the second attempt comes 2 s later.
"""
_GENERATIONS_HEAD = """
## Generations

The same for daemons restricted with `--generations`, in one network. A daemon of the 2023 generation and one of 2026 publish and look
for requests under different keys: they must fail to meet, and both must meet a daemon that speaks both.
"""


async def _measure(network: Network, a: str, b: str) -> str:
    lab = Lab(new_name())
    try:
        build(lab, network, a, b)
        async with asyncio.timeout(60):
            sender, receiver = await enter(lab, network)
            await settle(lab, *(host for host, kind in (("a", a), ("b", b)) if kind == "real"))
        start = time.monotonic()
        sending = asyncio.create_task(send(sender, receiver, SECONDS))
        try:
            how = await path(network, sender, receiver, seconds=SECONDS, logs=lambda: lab.log("a"))
            return f"{how}, {time.monotonic() - start:.2f} s"
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    except TimeoutError:
        return "no connection"
    finally:
        lab.down()


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


async def _table(only: str) -> list[str]:
    lines = [_HEAD, _row(["network", *(f"{a} asks {b}" for a, b in PAIRS)]), _row(["---"] * (len(PAIRS) + 1))]
    for network in NETWORKS:
        if only in network.name:
            cells = [await _measure(network, a, b) for a, b in PAIRS]
            print(network.name, cells, flush=True)
            lines.append(_row([network.name, *cells]))
    lines += [_GENERATIONS_HEAD, _row(["a asks", "b", "result"]), _row(["---"] * 3)]
    for a, b in GENERATIONS:
        if not only:
            cell = await _measure(NETWORKS[0], a, b)
            print(a, b, cell, flush=True)
            lines.append(_row([a, b, cell]))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only networks with this text in their name; prints instead of writing")
    options = parser.parse_args()
    text = "\n".join(asyncio.run(_table(options.only))) + "\n"
    if options.only:
        print(text)
    else:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
