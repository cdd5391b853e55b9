"""Fixtures for tests against the real daemon, DHT node and TURN server.

    pytestmark = pytest.mark.interop                      # in every test file here; skips where the programs are missing

    async def test_something(lab: Lab) -> None:
        lab.up(["d", "a", "b"], nat=["b"])                # d, a, b are 10.77.0.1 .. .3 (b behind a router), on a network of their own
        lab.start_dht("d")                                # real dhtnode on d:4222
        lab.start_turn("d")                               # real coturn on d:3478, ring/ring
        lab.start_jamid("a", pulse=True)                  # the real 13.7.0; with a sound server
        lab.ours("b", "-c", "-d", "-p", "--generations", "13", pulse=True, env={"X": "y"})   # our daemon
        pid = lab.spawn("b", "peer", [sys.executable, "-m", "some.script"])                  # anything else; log in peer.log
        text = lab.run("a", "busctl", "…")                # a command to its end
        value = lab.call("a", "ConfigurationManager", "getAccountList")                      # one D-Bus call
        lab.loss("b", 5); lab.stop("b", "jamid", signal.SIGKILL); lab.home("b"); lab.log("b")
        async with await Driver.connect(lab.bus("a"), "a") as a: ...                         # tests/interop/driver.py

`real_pair`, `ours_pair` … are not fixtures on purpose: a test says in its body who plays which part. Every test gets a lab of its own
and all of it is gone afterwards; the ends of its logs are shown when the test fails (`JAMID_LAB_LOGS=DIR` keeps them whole).
Without root or a program the tests skip and say why; with JAMID_REQUIRE_INTEROP=1 they fail instead.
The lab's methods block the loop for some 100 ms; that is fine in tests.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis  # noqa: F401  its plugin imports it at the end, where Python 3.11 may fail to compile it after long tests
import pytest

from tests.interop.lab import Lab, missing_requirements, new_name, sweep

_LOG_LINES = 60


@pytest.fixture(scope="session")
def require_interop() -> None:
    """Skips the test where a lab cannot be made, or fails it when JAMID_REQUIRE_INTEROP=1."""
    missing = missing_requirements()
    if missing:
        reason = f"interop tests need {', '.join(missing)} (scripts/test installs what is missing when it may)"
        if os.environ.get("JAMID_REQUIRE_INTEROP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    sweep()


@pytest.fixture(autouse=True)
def _needs_lab(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("interop"):
        request.getfixturevalue("require_interop")


@pytest.fixture
def lab(request: pytest.FixtureRequest, require_interop: None) -> Iterator[Lab]:
    """A laboratory with no hosts yet; taken down whatever happens."""
    lab = Lab(new_name())
    try:
        yield lab
    finally:
        _show_logs(request, lab)
        lab.down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


_FAILED = pytest.StashKey[bool]()


def _show_logs(request: pytest.FixtureRequest, lab: Lab) -> None:
    keep = os.environ.get("JAMID_LAB_LOGS")
    failed = request.node.stash.get(_FAILED, False)
    for log in sorted(lab.dir.glob("*/*.log")):
        if keep:
            target = Path(keep) / request.node.name.replace("/", "_") / log.parent.name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, target)
        if failed:
            lines = log.read_text(errors="replace").splitlines()
            print(f"--- the end of {log.parent.name}/{log.name} ({len(lines)} lines)", *lines[-_LOG_LINES:], sep="\n")
