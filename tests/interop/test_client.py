"""The jami command, as a script uses it, against each kind of daemon: request, messages, file, call."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
import time
import wave
from pathlib import Path
from typing import Any

import pytest

from tests.interop.lab import REPOSITORY, Lab

pytestmark = pytest.mark.interop


class Shell:
    """`jami` on one host."""

    def __init__(self, lab: Lab, host: str) -> None:
        self.lab, self.host = lab, host

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", self.lab.namespace(self.host), sys.executable, "-m", "jamid.client.commands", "--json", *words]
        environment = self.lab.environment(self.host) | {"PYTHONPATH": str(REPOSITORY), "DBUS_SESSION_BUS_ADDRESS": self.lab.bus(self.host)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def jami(self, *words: str, code: int = 0) -> list[Any]:
        """The JSON values that `jami WORDS` prints; it must end with CODE."""
        process = self.start(*words)
        out, errors = process.communicate(timeout=60)
        assert process.returncode == code, f"jami {' '.join(words)}: {process.returncode} {errors}"
        return [json.loads(line) for line in out.splitlines()]


def tone(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(index / 10))) for index in range(48000)))
    return path


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "real"])
def test_a_shell_does_what_a_frontend_does(lab: Lab, ours: bool, tmp_path: Path) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_turn("d")
    for host in ("a", "b"):
        (lab.ours if ours else lab.start_jamid)(host)
    a, b = Shell(lab, "a"), Shell(lab, "b")
    network = ("--bootstrap", f"{lab.address('d')}:4222", "--turn", lab.address("d"), "--set", "Account.upnpEnabled=false", "--wait")
    uri_a = a.jami("account", "add", "--name", "Alice", *network)[0]["uri"]
    uri_b = b.jami("account", "add", "--name", "Bob", *network)[0]["uri"]

    asking = a.start("contact", "add", uri_b, "--wait")
    conversation = b.jami("contact", "accept", uri_a)[0]["conversation"]
    assert json.loads(asking.communicate(timeout=60)[0])["conversation"] == conversation
    assert [one["uri"] for one in a.jami("contact", "list")] == [uri_b]
    assert b.jami("contact", "requests") == []
    a.jami("account", "export", str(tmp_path / "alice.gz"))
    assert (tmp_path / "alice.gz").stat().st_size > 1000

    following = b.start("message", "follow", uri_a, "--text")
    time.sleep(1)
    sent = a.jami("message", "send", uri_b, "from a shell")[0]["id"]
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["message"]["id"] == sent
    following.terminate()
    following.communicate(timeout=10)
    assert [one["body"] for one in b.jami("message", "list", uri_a) if one["type"] == "text/plain"] == ["from a shell"]
    exported = [one["id"] for one in a.jami("message", "export", uri_b)]
    assert sent in exported
    assert len(exported) == len(set(exported)) >= 3, "the beginning, the join, the text"

    if not ours:
        return  # how the real daemon moves files and records without a sound card is not ours to test
    (tmp_path / "file").write_bytes(os.urandom(100_000))
    message = a.jami("file", "send", uri_b, str(tmp_path / "file"))[0]["id"]
    wait_for_file(b, uri_a, message)
    b.jami("file", "get", uri_a, message, "--to", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "file").read_bytes()

    answering = b.start("call", "answer", "--record", str(tmp_path / "recordings"))
    time.sleep(1)
    placed = a.jami("call", "place", uri_b, "--play", str(tone(tmp_path / "tone.wav")), "--seconds", "3")[0]
    assert placed["answered"]
    assert placed["seconds"] >= 3
    assert json.loads(answering.communicate(timeout=30)[0])["answered"]
    assert len(list((tmp_path / "recordings").iterdir())) == 1
    assert a.jami("call", "list") == []
    a.jami("call", "place", "0" * 39 + "1", "--timeout", "20", code=1)


def wait_for_file(shell: Shell, peer: str, message: str) -> None:
    for _ in range(30):
        if message in [one["id"] for one in shell.jami("file", "list", peer)]:
            return
        time.sleep(0.5)
    raise AssertionError("the file's message did not arrive")
