"""vCards on their way to contacts and to the other devices of an account."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import FakeHome, world

from jamid.core.signals import ProfileReceived


def write(home: FakeHome, name: str) -> bytes:
    vcard = f"BEGIN:VCARD\nFN:{name}\nEND:VCARD\n".encode()
    path = home.profile_path(home.uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(vcard)
    return vcard


async def test_a_contact_that_is_there_gets_a_changed_profile_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        one, other = await w.add(1), await w.add(2)
        write(one, "Ann")
        await w.befriend(one, other)
        await other.wait(lambda: other.of(ProfileReceived))
        vcard = write(one, "Anna")
        one.conversations.profile_changed(one.id)
        await other.wait(lambda: other.profile_path(one.uri).read_bytes() == vcard)


async def test_another_device_of_the_account_is_told_the_profile_and_its_age(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        one = await w.add(1)
        vcard = write(one, "Ann")
        os.utime(one.profile_path(one.uri), (1_700_000_000, 1_699_999_999.4))
        second = await w.add(1, 1)
        await second.wait(lambda: second.own_profiles)
        assert second.own_profiles == [(vcard, 1_700_000_000)]
