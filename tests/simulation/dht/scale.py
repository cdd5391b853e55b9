"""Look-ups in simulated networks of growing size: prints a table and draws docs/dht-hops.svg.

python -m tests.simulation.dht.scale [100 1000 10000]        (10,000 nodes take five minutes and 900 MiB)
"""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Family
from jamid.dht.values import WireValue
from tests.simulation.dht.simulator import World

LOOK_UPS = 200
PLOT = Path(__file__).parents[3] / "docs" / "dht-hops.svg"


@dataclass(frozen=True, slots=True)
class Row:
    """What was seen in one network."""

    nodes: int
    known: float
    hops: float
    hops_max: int
    seconds: float
    found: float
    holders: float


def measure(count: int, seed: int = 1) -> Row:
    """Puts and gets between random nodes of a network of COUNT."""
    world = World(seed)
    nodes = world.grow(count)
    world.run(120)
    hops, seconds, holders, found = [], [], [], 0
    for number in range(1, LOOK_UPS + 1):
        key = InfoHash(world.rng.randbytes(20))
        putter, getter = world.rng.choice(nodes), world.rng.choice(nodes)
        world.put(putter, key, WireValue(number, data=b"x" * 100))
        started = world.time
        values = world.get(getter, key)
        seconds.append(world.time - started)
        found += any(value.id == number for value in values)
        hops.append(world.search(getter, key).hops)
        holders.append(sum(key in node.core.storage for node in world.closest(key)))
    known = statistics.mean(len(node.core.tables[Family.V4]) for node in nodes)
    return Row(
        count,
        known,
        statistics.mean(hops),
        max(hops),
        statistics.median(seconds),
        found / LOOK_UPS,
        statistics.mean(holders),
    )


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| nodes | nodes in a table | hops, mean | hops, most | get, median | values found | closest 8 that hold it |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.nodes:,} | {row.known:.0f} | {row.hops:.2f} | {row.hops_max} | {row.seconds * 1000:.0f} ms "
        f"| {row.found:.1%} | {row.holders:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def plot(rows: list[Row]) -> str:
    """Mean hops over the logarithm of the size, as SVG."""
    width, height, margin = 520, 300, 50
    most = max(row.hops for row in rows) * 1.2
    low, high = math.log10(rows[0].nodes), math.log10(rows[-1].nodes)

    def at(nodes: int, hops: float) -> tuple[float, float]:
        x = margin + (math.log10(nodes) - low) / (high - low) * (width - 2 * margin)
        return x, height - margin - hops / most * (height - 2 * margin)

    points = [at(row.nodes, row.hops) for row in rows]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<path d="M{margin} {margin}V{height - margin}H{width - margin}" fill="none" stroke="black"/>',
        f'<text x="{width / 2:.0f}" y="{height - 10}" text-anchor="middle">nodes (logarithmic)</text>',
        f'<text x="12" y="{margin - 15}">hops per look-up, mean</text>',
        f'<polyline fill="none" stroke="#05a" stroke-width="2" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>',
    ]
    for row, (x, y) in zip(rows, points, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#05a"/>')
        parts.append(f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle">{row.hops:.2f}</text>')
        parts.append(f'<text x="{x:.1f}" y="{height - margin + 16}" text-anchor="middle">{row.nodes:,}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    rows = []
    for count in [int(argument) for argument in sys.argv[1:]] or [100, 1000, 10000]:
        rows.append(measure(count))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    print(table(rows))
    if len(rows) > 1:
        PLOT.write_text(plot(rows))


if __name__ == "__main__":
    main()
