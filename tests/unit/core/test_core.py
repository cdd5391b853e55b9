"""The vocabulary: identifiers, events, tasks, files, paths."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from jamid.core.errors import LocalError, RemoteError
from jamid.core.events import Events
from jamid.core.files import read_if_present, set_aside, write_atomically
from jamid.core.generations import BOTH, Generation, parse_generations
from jamid.core.identifiers import InfoHash, LongId, bare_uri, is_local_account_id, new_53_bit_id, new_account_id
from jamid.core.paths import Paths
from jamid.core.signals import AccountsChanged, ContactAdded, Signal
from jamid.core.tasks import Tasks


def test_hashes_check_their_length() -> None:
    assert str(InfoHash(bytes(20))) == "00" * 20
    assert LongId.from_hex("ab" * 32) == b"\xab" * 32
    with pytest.raises(RemoteError, match="40 hex digits"):
        InfoHash.from_hex("ab" * 32)
    with pytest.raises(RemoteError, match="hex digits"):
        InfoHash.from_hex("zz" * 20)
    with pytest.raises(RemoteError, match="20 bytes"):
        InfoHash(b"short")


@pytest.mark.parametrize(
    ("uri", "bare"),
    [
        ("jami:" + "AB" * 20, "ab" * 20),
        ("ring:" + "ab" * 20, "ab" * 20),
        ("ab" * 20 + "@ring.dht", "ab" * 20),
        ("swarm:" + "cd" * 20, "cd" * 20),
        (" sip:alice@example.org ", "sip:alice@example.org"),
    ],
)
def test_bare_uri(uri: str, bare: str) -> None:
    assert bare_uri(uri) == bare


def test_random_ids_have_their_form() -> None:
    assert is_local_account_id(new_account_id())
    assert all(1 <= new_53_bit_id() <= 2**53 for _ in range(100))


def test_events_reach_subscribers_of_the_class_and_its_bases_in_order() -> None:
    events, seen = Events(), []
    events.subscribe(Signal, lambda event: seen.append(("any", event)))
    end = events.subscribe(ContactAdded, lambda event: seen.append(("contact", event)))
    added, changed = ContactAdded("a", "b", True), AccountsChanged()
    events.publish(added)
    events.publish(changed)
    end()
    end()
    events.publish(added)
    assert seen == [("contact", added), ("any", added), ("any", changed), ("any", added)]


def test_a_failing_subscriber_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    events, seen = Events(), []

    def fail(_: object) -> None:
        raise ValueError("broken")

    events.subscribe(AccountsChanged, fail)
    events.subscribe(AccountsChanged, seen.append)
    events.publish(AccountsChanged())
    assert seen == [AccountsChanged()]
    assert "a subscriber of AccountsChanged failed" in caplog.text


async def test_tasks_log_failures_and_end_together(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks("room")

    async def fail() -> None:
        raise ValueError("lost")

    waiting = tasks.spawn(asyncio.sleep(100), "waiting")
    failing = tasks.spawn(fail(), "failing")
    with caplog.at_level(logging.ERROR):
        await asyncio.wait([failing])
        await asyncio.sleep(0)
    assert "room/failing failed: lost" in caplog.text
    await tasks.close()
    assert waiting.cancelled()
    late = tasks.spawn(asyncio.sleep(100), "late")
    await asyncio.wait([late])
    assert late.cancelled()


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep/state"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["state"]
    assert read_if_present(path, 3) == b"two"
    assert read_if_present(tmp_path / "none", 3) is None
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(LocalError, match="is no file"):
            read_if_present(other, 2)
    with pytest.raises(LocalError, match="larger than 2 bytes"):
        read_if_present(path, 2)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_atomically(path, b"old")
    with pytest.raises(LocalError, match="cannot write"):
        write_atomically(path / "below", b"new")
    assert path.read_bytes() == b"old"


def test_broken_files_are_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "dring.yml"
    path.write_text("{{{")
    kept = set_aside(path, "not YAML")
    assert kept is not None
    assert kept.read_text() == "{{{"
    assert not path.exists()
    assert "not YAML" in caplog.text


def test_paths_follow_xdg() -> None:
    paths = Paths.from_environment({"HOME": "/home/u", "XDG_DATA_HOME": "/d", "XDG_CACHE_HOME": "relative"})
    assert paths.config == Path("/home/u/.config/jami")
    assert paths.account_data("ab") == Path("/d/jami/ab")
    assert paths.cache == Path("/home/u/.cache/jami")


def test_generations_switch() -> None:
    assert parse_generations("both") == BOTH
    assert parse_generations("13") == {Generation.G13}
    with pytest.raises(ValueError, match="not '14'"):
        parse_generations("14")
