"""Our daemon beside the real one as clients and home directories see them: introspection, common tools, `dring.yml` both ways."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import pytest

from jamid.bus.contract import BUS_NAME, ROOT_PATH
from tests.interop.lab import Lab

pytestmark = pytest.mark.interop

INTERFACES = ("Instance", "ConfigurationManager", "CallManager", "PresenceManager", "VideoManager", "PluginManagerInterface")
CONFIGURATION = f"{ROOT_PATH}/ConfigurationManager"

NO_INTROSPECTION = """
import dbus
bus = dbus.SessionBus()
proxy = bus.get_object("cx.ring.Ring", "/cx/ring/Ring/ConfigurationManager", introspect=False)
configuration = dbus.Interface(proxy, "cx.ring.Ring.ConfigurationManager")
account = configuration.addAccount({"Account.type": "SIP", "Account.alias": "plain", "Account.hostname": "127.0.0.1"})
assert account in configuration.getAccountList()
assert configuration.getAccountDetails(account)["Account.alias"] == "plain"
assert configuration.getCodecDetails(account, 86076)["CodecInfo.name"] == "Opus"
configuration.setAccountDetails(account, {"Account.alias": "other"})
assert configuration.getAccountDetails(account)["Account.alias"] == "other"
configuration.removeAccount(account)
assert account not in configuration.getAccountList()
print("fine")
"""


def introspected(lab: Lab, host: str, interface: str) -> set[tuple[str, str, str, str]]:
    """(kind, name, in, out) of every member that a daemon shows."""
    path = f"{ROOT_PATH}/{interface}"
    xml = lab.run(host, "busctl", f"--address={lab.bus(host)}", "introspect", "--xml-interface", BUS_NAME, path)
    root = ElementTree.fromstring(xml[xml.index("<node") :])
    element = next(one for one in root.findall("interface") if one.get("name") == f"{BUS_NAME}.{interface}")
    found = set()
    for kind in ("method", "signal"):
        for member in element.findall(kind):
            arguments = member.findall("arg")
            incoming = "".join(str(one.get("type")) for one in arguments if one.get("direction") != "out")
            outgoing = "".join(str(one.get("type")) for one in arguments if one.get("direction") == "out")
            found.add((kind, str(member.get("name")), incoming, outgoing))
    return found


def test_introspection_shows_what_the_real_daemon_shows(lab: Lab) -> None:
    lab.up(["a", "b", "c"])
    lab.start_jamid("a")
    lab.ours("b", "-c", "-p", "--api-level", "13")
    lab.ours("c", "-c", "-p")
    for interface in INTERFACES:
        real = introspected(lab, "a", interface)
        assert introspected(lab, "b", interface) == real
        assert introspected(lab, "c", interface) >= real


def test_settings_move_from_the_real_daemon_to_ours_and_back(lab: Lab) -> None:
    lab.up(["a"])
    lab.start_jamid("a")
    lab.call("a", "ConfigurationManager", "setRingingTimeout", 17)
    directory = lab.home("a") / "recordings"  # the real daemon takes no path with a blank
    directory.mkdir()
    lab.call("a", "ConfigurationManager", "setRecordPath", str(directory))
    lab.call("a", "ConfigurationManager", "setIsAlwaysRecording", True)
    lab.call("a", "ConfigurationManager", "setNoiseSuppressState", "off")
    lab.call("a", "VideoManager", "setDecodingAccelerated", False)
    account = lab.call(
        "a", "ConfigurationManager", "addAccount", {"Account.type": "SIP", "Account.alias": "1234", "Account.hostname": "127.0.0.1"}
    )
    lab.stop("a")
    lab.ours("a", "-c", "-p")
    assert lab.call("a", "ConfigurationManager", "getRingingTimeout") == 17
    assert lab.call("a", "ConfigurationManager", "getRecordPath") == str(directory)
    assert lab.call("a", "ConfigurationManager", "getIsAlwaysRecording") is True
    assert lab.call("a", "ConfigurationManager", "getNoiseSuppressState") == "off"
    assert lab.call("a", "VideoManager", "getDecodingAccelerated") is False
    assert lab.call("a", "ConfigurationManager", "getAccountList") == [account]
    lab.call("a", "ConfigurationManager", "setRingingTimeout", 18)
    lab.call("a", "ConfigurationManager", "setRecordPath", "")
    lab.call("a", "ConfigurationManager", "setNoiseSuppressState", "auto")
    lab.call("a", "PluginManagerInterface", "setPluginsEnabled", True)
    lab.stop("a")
    lab.start_jamid("a")
    assert lab.call("a", "ConfigurationManager", "getRingingTimeout") == 18
    assert lab.call("a", "ConfigurationManager", "getRecordPath") == ""
    assert lab.call("a", "ConfigurationManager", "getIsAlwaysRecording") is True
    assert lab.call("a", "ConfigurationManager", "getNoiseSuppressState") == "auto"
    assert lab.call("a", "PluginManagerInterface", "getPluginsEnabled") is True
    assert lab.call("a", "ConfigurationManager", "getAccountList") == [account]
    assert lab.call("a", "ConfigurationManager", "getAccountDetails", account)["Account.alias"] == "1234"


def test_common_tools_understand_us(lab: Lab) -> None:
    lab.up(["a"])
    lab.ours("a", "-c", "-p")
    bus = f"--address={lab.bus('a')}"
    assert f"{ROOT_PATH}/VideoManager" in lab.run("a", "busctl", bus, "tree", BUS_NAME)
    reply = lab.run("a", "busctl", bus, "call", BUS_NAME, CONFIGURATION, f"{BUS_NAME}.ConfigurationManager", "getRingingTimeout")
    assert reply.strip() == "i 30"
    where = ("--session", "-d", BUS_NAME, "-o", CONFIGURATION)
    assert "revokeDevice" in lab.run("a", "gdbus", "introspect", *where)
    assert "('auto',)" in lab.run("a", "gdbus", "call", *where, "-m", f"{BUS_NAME}.ConfigurationManager.getNoiseSuppressState")
    sent = ("dbus-send", "--session", "--print-reply", f"--dest={BUS_NAME}", CONFIGURATION)
    assert "array [" in lab.run("a", *sent, f"{BUS_NAME}.ConfigurationManager.getAccountList")
    assert "array [" in lab.run("a", *sent, "org.freedesktop.DBus.Properties.GetAll", f"string:{BUS_NAME}.ConfigurationManager")


def test_client_that_never_introspects(lab: Lab) -> None:
    python = "/usr/bin/python3"
    if subprocess.run([python, "-c", "import dbus"], capture_output=True, check=False).returncode:
        pytest.skip("python-dbus is not installed (apt install python3-dbus)")
    lab.up(["a"])
    lab.ours("a", "-c", "-p")
    assert lab.run("a", python, "-c", NO_INTROSPECTION).strip() == "fine"


def test_second_daemon_leaves_with_one_line(lab: Lab) -> None:
    lab.up(["a"])
    lab.ours("a", "-c", "-p")
    second = subprocess.run(
        ["ip", "netns", "exec", lab.namespace("a"), sys.executable, "-m", "jamid.app", "-c", "-p"],
        env=lab.environment("a"),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert second.returncode == 1
    assert "another daemon runs on this bus" in second.stdout + second.stderr
    assert "Traceback" not in second.stdout + second.stderr
