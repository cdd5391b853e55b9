"""The settings file: read and written in the real daemon's form, whatever state it is in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jamid.core.errors import LocalError
from jamid.core.settings import DEFAULTS, Settings, dump_yaml, parse_yaml

DATA = Path(__file__).parents[2] / "data" / "bus"
REAL = ("dring-13.7.0.yml", "dring-13.7.0-sip.yml")


@pytest.mark.parametrize("name", REAL)
def test_real_file_survives_a_round_trip(name: str, tmp_path: Path) -> None:
    data = (DATA / name).read_bytes()
    path = tmp_path / "dring.yml"
    path.write_bytes(data)
    settings = Settings.load(path)
    settings.set("preferences.ringingTimeout", 31)
    settings.save_now()
    expected = parse_yaml(data)
    expected["preferences"]["ringingTimeout"] = "31"
    assert parse_yaml(path.read_bytes()) == expected
    assert path.stat().st_mode & 0o777 == 0o600


def test_new_file_has_the_defaults_in_the_real_order(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "jami" / "dring.yml")
    settings.save_now()
    document = parse_yaml(settings.path.read_bytes())
    assert document == DEFAULTS
    assert list(document) == ["accounts", "preferences", "voipPreferences", "audio", "video", "plugins"]


def test_values_have_types(tmp_path: Path) -> None:
    path = tmp_path / "dring.yml"
    path.write_text(
        "preferences: {historyLimit: many, ringingTimeout: 0x, order: 1234567890123456/ab/}\naudio: {noiseReduce: off, volumeMic: 0.25}\n"
    )
    settings = Settings.load(path)
    assert settings.number("preferences.historyLimit") == 0
    assert settings.number("preferences.ringingTimeout") == 30
    assert settings.order == ["1234567890123456", "ab"]
    assert settings.text("audio.noiseReduce") == "off"
    assert settings.real("audio.volumeMic") == 0.25
    assert settings.flag("audio.alsa.cardIn") is False
    assert settings.flag("video.decodingAccelerated") is True
    assert settings.number("audio.alsa.smplRate") == 44100
    assert [device["id"] for device in settings.maps("video.devices")] == ["desktop"]


def test_unknown_keys_and_awkward_text_stay(tmp_path: Path) -> None:
    path = tmp_path / "dring.yml"
    path.write_text('later: {thing: [1, "", "null", "yes", "# no comment", " x "]}\npreferences: {strange: 12e5}\n')
    settings = Settings.load(path)
    settings.set("audio.recordPath", "/tmp/ä: b")
    settings.save_now()
    again = Settings.load(path)
    assert again.texts("later.thing") == ["1", "", "null", "yes", "# no comment", " x "]
    assert again.text("preferences.strange") == "12e5"
    assert again.text("audio.recordPath") == "/tmp/ä: b"


@pytest.mark.parametrize("broken", [b"", b"audio: [", b"\x00\x01\x02", b"- 1\n- 2\n", b"a: &a [*a]\n", b"\xff\xfe\xff"])
def test_broken_file_is_set_aside_and_the_backup_read(broken: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dring.yml"
    good = Settings.load(path)
    good.set("audio.recordPath", "/kept")
    good.save_now()
    Settings.load(path)
    path.write_bytes(broken)
    assert path.with_name("dring.yml.bak").stat().st_mode & 0o777 == 0o600
    settings = Settings.load(path)
    assert settings.text("audio.recordPath") == "/kept"
    assert [file.read_bytes() for file in tmp_path.glob("dring.yml.broken-*")] == [broken]


def test_broken_part_gets_its_default(tmp_path: Path) -> None:
    path = tmp_path / "dring.yml"
    path.write_text("audio: loud\nvideo: {devices: none, recordQuality: 7}\n")
    settings = Settings.load(path)
    assert settings.text("audio.noiseReduce") == "auto"
    assert settings.number("video.recordQuality") == 7
    assert settings.maps("video.devices")[0]["id"] == "desktop"


async def test_failed_change_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dring.yml"
    settings = Settings.load(path)
    await settings.change({"preferences.ringingTimeout": 12})
    whole = path.read_bytes()

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(LocalError, match="No space left on device"):
        await settings.change({"preferences.ringingTimeout": 99, "audio.alwaysRecording": True})
    monkeypatch.undo()
    assert settings.number("preferences.ringingTimeout") == 12
    assert settings.flag("audio.alwaysRecording") is False
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["dring.yml"]


async def test_change_without_difference_writes_nothing(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "dring.yml")
    await settings.change({"preferences.ringingTimeout": 30})
    assert not settings.path.exists()


def test_yaml_scalars_stay_plain_where_the_real_reader_wants_them() -> None:
    assert dump_yaml({"flag": "true", "number": "30", "id": "0123456789012345", "none": "", "null": "null"}) == (
        b'flag: true\nnumber: 30\nid: 0123456789012345\nnone: ""\n"null": "null"\n'
    )


KILLED = """
import sys
from pathlib import Path
from jamid.core.settings import Settings
settings = Settings.load(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    number += 1
    settings.set("preferences.historyLimit", number)
    settings.set("audio.recordPath", "x" * (number % 5000))
    settings.save_now()
    print(number, flush=True)
"""


def test_file_is_whole_and_not_older_than_confirmed_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "dring.yml"
    for delay in (0.0, 0.011, 0.023, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.kill()
        confirmed = [int(line) for line in process.stdout.read().split()]
        process.wait()
        process.stdout.close()
        assert Settings.load(path).number("preferences.historyLimit") >= max(confirmed, default=0)
        assert not list(tmp_path.glob("*.broken-*"))
        path.unlink(missing_ok=True)
