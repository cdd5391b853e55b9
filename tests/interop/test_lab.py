"""The lab itself: two real daemons meet in it, a cut network is cut, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.interop.driver import Driver, audio_call, befriend, chat
from tests.interop.lab import Lab

pytestmark = pytest.mark.interop


def test_hosts_reach_each_other_until_they_are_cut_off(lab: Lab) -> None:
    lab.up(["a", "b", "c"], nat=["c"])
    address = lab.address("a")
    echo = "import socket; s = socket.create_server(('', 7000))\nwhile True:\n c, _ = s.accept(); c.close()"
    lab.spawn("a", "echo", ["python3", "-c", echo])
    probe = f"import socket; socket.create_connection(('{address}', 7000), 1).close()"

    tries = f'for i in 1 2 3; do python3 -c "{probe}" 2>/dev/null && echo yes && break; sleep 0.2; done'

    def reaches(host: str) -> bool:
        return lab.run(host, "sh", "-c", tries, check=False) != ""

    assert reaches("b")
    assert reaches("c"), "out through a router"
    lab.loss("b", 100)
    assert not reaches("b")
    lab.loss("b", 0)
    assert reaches("b")


def test_nothing_is_left_after_down(lab: Lab) -> None:
    lab.up(["a"])
    pid = lab.spawn("a", "sleeper", ["sleep", "1000"])
    lab.bus("a")
    lab.down()
    assert lab.name not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not lab.dir.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_two_real_daemons_meet_chat_and_call(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_turn("d")
    lab.start_jamid("a", pulse=True)
    lab.start_jamid("b", pulse=True)
    bootstrap, turn = f"{lab.address('d')}:4222", lab.address("d")
    async with await Driver.connect(lab.bus("a"), "a") as a, await Driver.connect(lab.bus("b"), "b") as b:
        account_a, id_a = await a.add_account(bootstrap, turn)
        account_b, id_b = await b.add_account(bootstrap, turn)
        conversation = await befriend(a, account_a, id_a, b, account_b, id_b)
        assert await chat(a, account_a, b, conversation, "ping") < 30
        assert await chat(b, account_b, a, conversation, "pong") < 30
        assert await audio_call(a, account_a, b, account_b, id_b, seconds=1) < 30
