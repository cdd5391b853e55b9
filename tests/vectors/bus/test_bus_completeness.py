"""What the contract declares is implemented, but for one list that is to stay empty."""

from __future__ import annotations

from pathlib import Path

from jamid.app.options import Options
from jamid.app.wiring import Daemon
from jamid.bus import contract
from jamid.bus.neutral import NOTHING, UNKNOWN
from jamid.core.paths import Paths

NOT_IMPLEMENTED_YET: dict[str, tuple[str, ...]] = {}
"""for an account that exists these raise `cx.ring.Ring.Error.NotImplemented`: interface, methods"""


async def test_every_method_is_implemented_or_listed(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "config", tmp_path / "data", tmp_path / "cache")
    daemon = Daemon(Options(), request_stop=lambda reason, code=0: None, paths=paths)
    listed = sorted(f"{interface}.{method}" for interface, methods in NOT_IMPLEMENTED_YET.items() for method in methods)
    assert daemon.bus.missing() == listed


def test_tables_name_methods_of_the_contract() -> None:
    contracts = contract.load()
    for name in (*NOTHING, *UNKNOWN):
        interface, _, method = name.partition(".")
        assert method in contracts[interface].methods
