"""The units, the bus policy and the activation files: systemd accepts them, the hardening holds, only the group reaches the daemon."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.interop.lab import wait_until

SYSTEMD = Path(__file__).resolve().parents[3] / "systemd"
MOST_EXPOSURE = 2.0
STRANGER = 65534
BUS = """\
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true"/>
    <allow receive_type="method_call"/>
    <allow receive_type="signal"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
  </policy>
  <include>{policy}</include>
</busconfig>
"""


@pytest.fixture
def analyze(tmp_path: Path) -> Path:
    """A directory for units in which ExecStart exists; skips the test where systemd-analyze is missing."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (apt-get install systemd)")
    return tmp_path


def installed(unit: Path, directory: Path) -> Path:
    """A copy of UNIT as scripts/install writes it, with a program that exists everywhere."""
    copy = directory / "jamid.service"
    copy.write_text(unit.read_text().replace("@bindir@/jamid", "/bin/true"))
    return copy


def systemd_analyze(*words: str, runtime: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XDG_RUNTIME_DIR": str(runtime)}
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, env=environment, check=False)


def test_user_unit_is_accepted(analyze: Path) -> None:
    done = systemd_analyze("--user", "--man=no", "verify", str(installed(SYSTEMD / "user/jamid.service", analyze)), runtime=analyze)
    assert (done.returncode, done.stderr) == (0, "")


def test_system_unit_is_accepted_and_hardened(analyze: Path) -> None:
    unit = str(installed(SYSTEMD / "system/jamid.service", analyze))
    done = systemd_analyze("--man=no", "verify", unit, runtime=analyze)
    assert (done.returncode, done.stderr) == (0, "")
    rated = systemd_analyze("security", "--offline=true", unit, runtime=analyze).stdout
    exposure = re.search(r"Overall exposure level for jamid.service: ([\d.]+)", rated)
    assert exposure is not None, rated
    assert float(exposure[1]) <= MOST_EXPOSURE, rated


def test_own_user_and_directories_agree() -> None:
    unit = (SYSTEMD / "system/jamid.service").read_text()
    user = re.search(r"^User=(\w+)$", unit, re.M)
    assert user is not None
    assert f"u     {user[1]} " in (SYSTEMD / "system/jamid.sysusers").read_text()
    tmpfiles = (SYSTEMD / "system/jamid.tmpfiles").read_text()
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        place = re.search(rf"\b{variable}=(/var/\w+/jamid)", unit)
        assert place is not None, f"the unit sets no {variable}"
        assert f"{place[1]} " in tmpfiles


def test_activation_files_name_the_daemon_and_the_unit() -> None:
    for name in ("session", "system"):
        text = (SYSTEMD / f"dbus/{name}.service").read_text()
        assert "Name=cx.ring.Ring\n" in text
        assert "SystemdService=jamid.service\n" in text
        assert "Exec=@bindir@/jamid" in text


def test_policy_denies_everyone_but_the_group() -> None:
    policies = {(policy.get("context") or policy.get("group") or policy.get("user")): policy
                for policy in ElementTree.parse(SYSTEMD / "dbus/system-policy.conf").getroot().iter("policy")}  # fmt: skip
    rules = ("send_destination", "receive_sender")
    assert {key for deny in policies["default"].iter("deny") for key in deny.attrib} == {"own", *rules}
    assert {key for allow in policies["jamid"].iter("allow") for key in allow.attrib} >= set(rules)
    assert list(policies["default"].iter("allow")) == []


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("dbus-daemon") is None, reason="needs root and dbus-daemon: it becomes another user")
def test_strangers_can_neither_own_the_name_nor_call(tmp_path: Path) -> None:
    policy = (SYSTEMD / "dbus/system-policy.conf").read_text()
    (tmp_path / "policy.conf").write_text(policy.replace('="jamid"', '="root"'))
    socket = Path(f"/tmp/jamid-policy-{os.getpid()}")  # strangers cannot enter pytest's directory
    (tmp_path / "bus.conf").write_text(BUS.format(socket=socket, policy=tmp_path / "policy.conf"))
    bus = subprocess.Popen(["dbus-daemon", f"--config-file={tmp_path / 'bus.conf'}", "--nofork", "--nopidfile"], stderr=subprocess.DEVNULL)
    wait_until(socket.exists, "the bus")
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(SYSTEMD.parent)}
    command = [sys.executable, "-m", "jamid.app", "-c", "-p", "--bus", f"unix:path={socket}"]
    daemon = None

    def send(user: int, destination: str, *words: str) -> str:
        call = ["dbus-send", f"--bus=unix:path={socket}", "--print-reply", f"--dest={destination}", *words]
        done = subprocess.run(call, user=user, group=user, extra_groups=[], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    try:
        own = ["/org/freedesktop/DBus", "org.freedesktop.DBus.RequestName", "string:cx.ring.Ring", "uint32:4"]
        assert "AccessDenied" in send(STRANGER, "org.freedesktop.DBus", *own)
        daemon = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        register = ["/cx/ring/Ring/Instance", "cx.ring.Ring.Instance.Register", "int32:1", "string:"]
        wait_until(lambda: "method return" in send(0, "cx.ring.Ring", *register), "the daemon")
        assert "AccessDenied" in send(STRANGER, "cx.ring.Ring", *register)
    finally:
        for process in (daemon, bus):
            if process:
                process.kill()
                process.wait()
        socket.unlink(missing_ok=True)
