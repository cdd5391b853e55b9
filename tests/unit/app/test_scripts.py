"""The scripts say what they take; scripts/install puts each file where it belongs, with the right program in it, and takes it away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
VENV = Path(sys.prefix)


def install(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "JAMID_VENV": str(VENV)} | environment
    return subprocess.run([REPOSITORY / "scripts/install", *words], env=variables, capture_output=True, text=True, check=False, timeout=100)


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


@pytest.mark.skipif(not (VENV / ".jamid-installed").exists(), reason="needs the .venv that scripts/test or scripts/run makes")
def test_user_installation_and_its_end(tmp_path: Path) -> None:
    done = install(tmp_path, "--develop")
    assert done.returncode == 0, done.stderr
    bin_ = tmp_path / ".local/bin"
    assert (bin_ / "jamid").resolve() == (VENV / "bin/jamid").resolve()
    unit = (tmp_path / ".config/systemd/user/jamid.service").read_text()
    assert f"ExecStart={bin_}/jamid --persistent\n" in unit
    assert f"Exec={bin_}/jamid\n" in (tmp_path / ".local/share/dbus-1/services/cx.ring.Ring.service").read_text()
    assert (tmp_path / ".local/share/man/man1/jami.1").exists()

    account = tmp_path / ".local/share/jami/0123456789abcdef/archive.gz"
    account.parent.mkdir(parents=True)
    account.write_bytes(b"keys")
    assert install(tmp_path, "--uninstall").returncode == 0
    assert files(tmp_path / ".local") | files(tmp_path / ".config") == {"share/jami/0123456789abcdef/archive.gz"}


def test_staged_system_installation_touches_nothing_outside(tmp_path: Path) -> None:
    home, stage = tmp_path / "home", tmp_path / "stage"
    home.mkdir()
    done = install(home, "--system", DESTDIR=str(stage))
    assert done.returncode == 0, done.stderr
    assert files(home) == set()
    assert {"etc/systemd/system/jamid.service", "etc/sysusers.d/jamid.conf", "etc/dbus-1/system.d/cx.ring.Ring.conf"} <= files(stage)
    assert "@bindir@" not in "".join((stage / name).read_text() for name in files(stage) if name.endswith((".service", ".conf")))
    assert install(home, "--system", "--uninstall", DESTDIR=str(stage)).returncode == 0
    assert files(stage) == set()


def test_unknown_word_shows_the_usage(tmp_path: Path) -> None:
    done = install(tmp_path, "--nonsense")
    assert done.returncode == 2
    assert "scripts/install --system" in done.stdout


@pytest.mark.parametrize("script", ["run", "test", "install", "bench", "environment.sh"])
def test_scripts_name_no_registry_and_are_valid(script: str) -> None:
    path = REPOSITORY / "scripts" / script
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0
    assert not any(word in path.read_text() for word in ("pypi", "index-url", "http://", "https://"))


@pytest.mark.parametrize(("script", "word"), [("run", "--demo"), ("test", "tests/unit"), ("bench", "calls_sound"), ("install", "--system")])
def test_help_is_shown_and_nothing_installed(tmp_path: Path, script: str, word: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "JAMID_VENV": str(tmp_path / "venv")}
    done = subprocess.run([REPOSITORY / "scripts" / script, "--help"], env=environment, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    assert word in done.stdout
    assert not (tmp_path / "venv").exists()
