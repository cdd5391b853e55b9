#!/usr/bin/env python3
"""Hosts on one machine for interop tests: network namespaces that run the real daemon, ours, a DHT node and a TURN server.

As a program (root only), each verb taking the lab's name first:

    lab.py up LAB d a b [--nat b]           hosts 10.77.0.1 .. on a bridge of the lab's own; b behind a router that masquerades
    lab.py dht LAB d | turn LAB d           dhtnode on port 4222; coturn on 3478, user and password `ring`
    lab.py jamid LAB a [--pulse] [-- CMD]   the real daemon (or CMD) on a, with a bus and a home of its own
    lab.py ours LAB b [--pulse] [FLAGS]     our daemon on b
    lab.py exec LAB b -- CMD                CMD on b, with b's bus and home
    lab.py spawn LAB b NAME -- CMD          the same in the background, its output in NAME.log
    lab.py stop LAB b NAME                  SIGTERM to what was started as NAME
    lab.py call LAB a INTERFACE METHOD ARG  a D-Bus call; arguments are JSON
    lab.py bus LAB a | log LAB a [NAME]     the bus's address; a log
    lab.py loss LAB b PERCENT               drops that much of what b receives; 100 cuts it off, 0 mends it
    lab.py down LAB                         ends all processes of the lab and removes its files
    lab.py sweep                            takes down every lab whose owner is gone

In tests use the `lab` fixture (conftest.py), which picks the name and takes the lab down whatever happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
LABS = Path(tempfile.gettempdir()) / "jamid-labs"
REAL_DAEMON = Path("/usr/libexec/jamid")
NETWORK = "10.77.0"
DHT_PORT, TURN_PORT = 4222, 3478
PROGRAMS = ("ip", "nft", "dbus-daemon", "busctl", "gcc", "dhtnode", "turnserver", "pulseaudio", "pactl")

# No service directories: on an ordinary session bus a call to a daemon that died would start the packaged one in its place.
BUS_CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class LabError(Exception):
    """The lab could not do what it was asked."""


def missing_requirements() -> list[str]:
    """What keeps a lab from working here: "root" and the programs that are not installed."""
    missing = [] if os.geteuid() == 0 else ["root"]
    missing += [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None]
    return missing + ([] if REAL_DAEMON.exists() else [str(REAL_DAEMON)])


def new_name() -> str:
    """A lab name that no other test uses."""
    return f"x{secrets.token_hex(3)}"


class Lab:
    """One laboratory: its hosts, its processes and their files below `dir`. All methods block."""

    def __init__(self, name: str) -> None:
        if not name.isalnum() or len(name) > 8:
            raise LabError(f"a lab's name is 1 to 8 letters or digits, not {name!r}")
        self.name = name
        self.dir = LABS / name
        self._state_file = self.dir / "lab.json"
        self.state: dict[str, Any] = {"hosts": {}, "pids": [], "named": {}, "owner": os.getpid()}
        with contextlib.suppress(FileNotFoundError):
            self.state = json.loads(self._state_file.read_text())

    # -- hosts ----------------------------------------------------------------------------------------------------------
    def up(self, hosts: Sequence[str], nat: Sequence[str] = ()) -> Lab:
        """Makes HOSTS, with the addresses 10.77.0.1, .2 … in that order; those in NAT get a masquerading router of their own."""
        if self.state["hosts"]:
            raise LabError(f"lab {self.name} is up already")
        self.dir.mkdir(parents=True, exist_ok=True)
        self._save()
        self._add_namespace("hub")
        self._ip("hub", "link", "add", "br0", "type", "bridge")
        self._ip("hub", "addr", "add", f"{NETWORK}.254/24", "dev", "br0")
        self._ip("hub", "link", "set", "br0", "up")
        for number, host in enumerate(hosts, start=1):
            self.home(host).mkdir(exist_ok=True)
            self._add_namespace(host)
            if host not in nat:
                self._plug_in(host, "eth0", number)
                self.state["hosts"][host] = f"{NETWORK}.{number}"
                continue
            router = f"r{host}"
            self._add_namespace(router)
            self._plug_in(router, "wan", number)
            self._cable(router, "lan", host, "eth0")
            self._set_address(router, "lan", f"192.168.{number}.1/24")
            self._set_address(host, "eth0", f"192.168.{number}.2/24", gateway=f"192.168.{number}.1")
            self._inside(router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            masquerade = 'chain out { type nat hook postrouting priority 100; oifname "wan" masquerade random; }'
            self._inside(router, "nft", f"table ip nat {{ {masquerade}; }}")
            self.state["hosts"][host] = f"192.168.{number}.2"
        self._save()
        return self

    def down(self) -> None:
        """Kills every process of the lab, removes its namespaces and files; safe at any time and twice."""
        for pid in self.state["pids"]:
            _kill_group(pid)
        for namespace in _namespaces():
            if namespace.startswith(f"{self.name}-"):
                for pid in _run("ip", "netns", "pids", namespace, check=False).split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                _run("ip", "netns", "del", namespace, check=False)
        for pid in self.state["pids"]:  # reaps those that are our own children
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self.state = {"hosts": {}, "pids": [], "named": {}, "owner": os.getpid()}
        shutil.rmtree(self.dir, ignore_errors=True)

    def address(self, host: str) -> str:
        """The IPv4 address of HOST."""
        return str(self.state["hosts"][host])

    def namespace(self, host: str) -> str:
        return f"{self.name}-{host}"

    def loss(self, host: str, percent: int) -> None:
        """Drops PERCENT of what HOST receives from now on: 100 cuts it off, 0 mends it."""
        self._inside(host, "nft", "delete table inet loss", check=False)
        if percent:
            what = "drop" if percent >= 100 else f"numgen random mod 100 < {percent} drop"
            self._inside(host, "nft", f'table inet loss {{ chain in {{ type filter hook input priority 0; iifname "eth0" {what}; }}; }}')

    # -- processes ------------------------------------------------------------------------------------------------------
    def home(self, host: str) -> Path:
        return self.dir / host

    def environment(self, host: str) -> dict[str, str]:
        """The environment of HOST's processes: a home, XDG directories and a session bus of its own."""
        home = self.home(host)
        runtime = home / "run"
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "DBUS_", "PULSE_", "COV_", "PYTEST_"))}
        return kept | {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_DATA_HOME": str(home / ".local/share"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
        }

    def spawn(self, host: str, name: str, argv: Sequence[str], env: dict[str, str] | None = None) -> int:
        """Starts ARGV on HOST in the background; its output goes to `log_path(host, name)`. Returns the process id."""
        with self.log_path(host, name).open("ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace(host), *argv],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=self.home(host), env=self.environment(host) | (env or {}),
            )  # fmt: skip
        process.returncode = 0  # `down` and `stop` wait for it; no warning about a process that still runs
        self.state["pids"].append(process.pid)
        self.state["named"][f"{host}/{name}"] = process.pid
        self._save()
        return process.pid

    def run(self, host: str, *argv: str, check: bool = True, timeout: float = 60) -> str:
        """Runs ARGV on HOST to its end; returns its output, raises LabError when it fails and CHECK."""
        return _run("ip", "netns", "exec", self.namespace(host), *argv, check=check, timeout=timeout, env=self.environment(host))

    def pid(self, host: str, name: str = "jamid") -> int:
        """The process id of what runs on HOST as NAME."""
        return int(self.state["named"][f"{host}/{name}"])

    def stop(self, host: str, name: str = "jamid", number: int = signal.SIGTERM, seconds: float = 10) -> int | None:
        """Signals the process started as NAME and waits for its end; its exit code (negative: the signal), None if it did not end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid(host, name), number)
        return self.ended(host, name, seconds)

    def ended(self, host: str, name: str = "jamid", seconds: float = 10) -> int | None:
        """Waits for the end of the process started as NAME; what `stop` returns."""
        pid = self.pid(host, name)
        ended: list[int] = []

        def gone() -> bool:
            try:
                done, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # started by another process, as `lab.py jamid` does
                ended.append(0)
                return not Path(f"/proc/{pid}").exists()
            if done:
                ended.append(os.waitstatus_to_exitcode(status))
            return bool(done)

        try:
            wait_until(gone, f"{name} on {host} to end", seconds)
        except LabError:
            return None
        self.state["pids"].remove(pid)
        self._save()
        return ended[-1]

    def log_path(self, host: str, name: str = "jamid") -> Path:
        return self.home(host) / f"{name}.log"

    def log(self, host: str, name: str = "jamid") -> str:
        return self.log_path(host, name).read_text(errors="replace")

    # -- the cast -------------------------------------------------------------------------------------------------------
    def start_bus(self, host: str) -> None:
        """Starts HOST's session bus unless it runs."""
        path = self.home(host) / "run/bus"
        if not path.exists():
            configuration = self.home(host) / "bus.conf"
            configuration.write_text(BUS_CONFIGURATION.format(socket=path))
            self.spawn(host, "dbus", ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile"])
            wait_until(lambda: _accepts(path), f"the bus of {host}")

    def bus(self, host: str) -> str:
        """The address of HOST's session bus, started if need be."""
        self.start_bus(host)
        return self.environment(host)["DBUS_SESSION_BUS_ADDRESS"]

    def start_dht(self, host: str, port: int = DHT_PORT) -> None:
        """Starts a real DHT bootstrap node and waits for its port."""
        pid = self.spawn(host, "dht", ["dhtnode", "-p", str(port), "-s"])
        wait_until(lambda: _listens(pid, port), f"dhtnode on {host}")

    def start_turn(self, host: str, *more: str) -> None:
        """Starts a real TURN server (realm, user and password `ring`) that serves the addresses MORE too, and waits for its port."""
        home = self.home(host)
        addresses = [word for address in (self.address(host), *more) for word in ("-L", address)]
        pid = self.spawn(host, "turn", [
            "turnserver", "-n", "-a", "-f", "-r", "ring", "-u", "ring:ring", *addresses, "--no-tls", "--no-dtls", "--no-cli",
            "-v", "--log-file=stdout", f"--pidfile={home}/turn.pid", f"--userdb={home}/turn.db",
        ])  # fmt: skip
        wait_until(lambda: _listens(pid, TURN_PORT), f"coturn on {host}")

    def start_pulse(self, host: str) -> None:
        """Starts a sound server with two null sinks: `speaker` takes what a daemon plays, `microphone.monitor` is what it records."""
        self.spawn(host, "pulse", [
            "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit",
            "-L", "module-null-sink sink_name=speaker", "-L", "module-null-sink sink_name=microphone", "-L", "module-native-protocol-unix",
        ])  # fmt: skip
        wait_until((self.home(host) / "run/pulse/native").exists, f"pulseaudio on {host}")
        self.run(host, "pactl", "set-default-source", "microphone.monitor")
        self.run(host, "pactl", "set-default-sink", "speaker")

    def start_jamid(self, host: str, pulse: bool = False, command: Sequence[str] | None = None, env: dict[str, str] | None = None) -> None:
        """Starts the real daemon, or another COMMAND that takes its name, and waits until it is on HOST's bus."""
        self.start_bus(host)
        if pulse:
            self.start_pulse(host)
        environment = (env or {}) | ({} if command else {"LD_PRELOAD": str(preload("netlink_split"))})
        pid = self.spawn(host, "jamid", command or [str(REAL_DAEMON), "-c", "-d", "-p"], environment)

        def ready() -> bool:
            if not _alive(pid):
                raise LabError(f"the daemon on {host} ended at once; its log ends:\n{self.log(host)[-2000:]}")
            names = self.run(host, "busctl", f"--address={self.bus(host)}", "list", "--acquired", "--no-pager", check=False)
            return "cx.ring.Ring" in names

        wait_until(ready, f"cx.ring.Ring on the bus of {host}", seconds=20)

    def ours(self, host: str, *flags: str, pulse: bool = False, env: dict[str, str] | None = None) -> None:
        """Starts our daemon on HOST with FLAGS (default `-c -d -p`) and waits until it is on the bus."""
        command = [sys.executable, "-m", "jamid.app", *(flags or ("-c", "-d", "-p"))]
        self.start_jamid(host, pulse=pulse, command=command, env={"PYTHONPATH": str(REPOSITORY)} | (env or {}))

    def call(self, host: str, interface: str, method: str, *args: Any) -> Any:
        """The reply of one D-Bus call: None, the value, or a list of several; raises LabError for an error reply."""
        path, name = f"/cx/ring/Ring/{interface}", f"cx.ring.Ring.{interface}"
        kinds = self._in_signature(host, path, name, method, len(args))
        words = [word for kind, value in zip(kinds, args, strict=True) for word in _busctl_words(kind, value)]
        reply = self._busctl(host, "call", "cx.ring.Ring", path, name, method, *(["".join(kinds), *words] if kinds else []))
        data = json.loads(reply).get("data", []) if reply else []
        return None if not data else data[0] if len(data) == 1 else data

    def _in_signature(self, host: str, path: str, interface: str, method: str, count: int) -> list[str]:
        reply = self._busctl(host, "call", "cx.ring.Ring", path, "org.freedesktop.DBus.Introspectable", "Introspect")
        overloads = ElementTree.fromstring(json.loads(reply)["data"][0]).findall(f"interface[@name='{interface}']/method[@name='{method}']")
        for overload in overloads:
            kinds = [str(arg.get("type")) for arg in overload.findall("arg") if arg.get("direction", "in") == "in"]
            if len(kinds) == count:
                return kinds
        raise LabError(f"{interface} has no method {method} with {count} arguments")

    def _busctl(self, host: str, *words: str) -> str:
        return self.run(host, "busctl", f"--address={self.bus(host)}", "--json=short", *words).strip()

    # -- plumbing -------------------------------------------------------------------------------------------------------
    def _add_namespace(self, host: str) -> None:
        _run("ip", "netns", "add", self.namespace(host))
        self._ip(host, "link", "set", "lo", "up")

    def _ip(self, host: str, *words: str) -> None:
        _run("ip", "-n", self.namespace(host), *words)

    def _inside(self, host: str, *argv: str, check: bool = True) -> None:
        _run("ip", "netns", "exec", self.namespace(host), *argv, check=check)

    def _cable(self, one: str, device: str, other: str, other_device: str) -> None:
        ends = ("netns", self.namespace(one), "type", "veth", "peer", "name", other_device, "netns", self.namespace(other))
        _run("ip", "link", "add", device, *ends)

    def _set_address(self, host: str, device: str, address: str, gateway: str = "") -> None:
        self._ip(host, "addr", "add", address, "dev", device)
        self._ip(host, "link", "set", device, "up")
        if gateway:
            self._ip(host, "route", "add", "default", "via", gateway)

    def _plug_in(self, host: str, device: str, number: int) -> None:
        self._cable("hub", f"port{number}", host, device)
        self._ip("hub", "link", "set", f"port{number}", "master", "br0", "up")
        self._set_address(host, device, f"{NETWORK}.{number}/24", gateway=f"{NETWORK}.254")

    def _save(self) -> None:
        self._state_file.write_text(json.dumps(self.state, indent=1))


def sweep() -> list[str]:
    """Takes down every lab whose owner is gone, as a killed test run leaves it; returns their names."""
    swept = []
    for state in LABS.glob("*/lab.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            owner = int(json.loads(state.read_text())["owner"])
            if owner and not Path(f"/proc/{owner}").exists():
                Lab(state.parent.name).down()
                swept.append(state.parent.name)
    return swept


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    """Waits until CONDITION holds; raises LabError after SECONDS."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"gave up waiting for {what} after {seconds:g} s")
        time.sleep(0.05)


def _run(*argv: str, check: bool = True, timeout: float = 30, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, env=env, check=False)
    if check and done.returncode:
        raise LabError(f"{' '.join(argv[:12])} failed with {done.returncode}: {(done.stderr or done.stdout).strip()[-1000:]}")
    return done.stdout


def _namespaces() -> Iterator[str]:
    for line in _run("ip", "netns", "list", check=False).splitlines():
        if line.strip():
            yield line.split()[0]


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _listens(pid: int, port: int) -> bool:
    """Whether PID's network has a UDP socket bound to PORT."""
    with contextlib.suppress(OSError):
        return any(f":{port:04X} " in Path(f"/proc/{pid}/net/{table}").read_text() for table in ("udp", "udp6"))
    return False


def _accepts(path: Path) -> bool:
    """Whether somebody listens at the Unix socket PATH."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def preload(name: str) -> Path:
    """Builds NAME.c, which lies beside this file and says at its head what it is for, once per machine; the library for LD_PRELOAD."""
    source = Path(__file__).with_name(f"{name}.c")
    library = LABS / f"{name}-{source.stat().st_mtime_ns}.so"
    if not library.exists():
        LABS.mkdir(parents=True, exist_ok=True)
        unfinished = library.with_suffix(f".{os.getpid()}")
        _run("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-o", str(unfinished), str(source), "-ldl")
        unfinished.rename(library)
    return library


def _busctl_words(kind: str, value: Any) -> list[str]:
    """VALUE as busctl's words for one complete D-Bus type."""
    if kind == "ay":
        value = value.encode() if isinstance(value, str) else bytes(value)
        return [str(len(value)), *map(str, value)]
    if kind.startswith("a{"):
        pairs = [word for key, item in value.items() for word in (*_busctl_words(kind[2], key), *_busctl_words(kind[3:-1], item))]
        return [str(len(value)), *pairs]
    if kind.startswith("a"):
        return [str(len(value)), *(word for item in value for word in _busctl_words(kind[1:], item))]
    return [str(value).lower() if kind == "b" else str(value)]


def main(words: Sequence[str]) -> None:
    if words[:1] == ["sweep"]:
        print(*sweep())
        return
    if len(words) < 2 or words[0].startswith("-"):
        raise SystemExit(__doc__)
    verb, name, *rest = words
    split = rest.index("--") if "--" in rest else len(rest)
    head, tail = rest[:split], rest[split + 1 :]
    lab = Lab(name)
    lab.state["owner"] = 0  # it is to outlive this process
    match verb:
        case "up":
            hosts = head[: head.index("--nat")] if "--nat" in head else head
            print(json.dumps(lab.up(hosts, nat=head[len(hosts) + 1 :]).state["hosts"]))
        case "dht":
            lab.start_dht(head[0])
        case "turn":
            lab.start_turn(head[0])
        case "pulse":
            lab.start_pulse(head[0])
        case "jamid":
            lab.start_jamid(head[0], pulse="--pulse" in head, command=tail or None)
        case "ours":
            lab.ours(head[0], *[flag for flag in head[1:] + tail if flag != "--pulse"], pulse="--pulse" in head)
        case "exec":
            lab.start_bus(head[0])
            os.execvpe("ip", ["ip", "netns", "exec", lab.namespace(head[0]), *tail], lab.environment(head[0]))
        case "spawn":
            lab.start_bus(head[0])
            print(lab.spawn(head[0], head[1], tail))
        case "stop":
            print(lab.stop(head[0], head[1]))
        case "call":
            print(json.dumps(lab.call(head[0], head[1], head[2], *map(json.loads, head[3:])), indent=1))
        case "bus":
            print(lab.bus(head[0]))
        case "log":
            print(lab.log(*head))
        case "loss":
            lab.loss(head[0], int(head[1]))
        case "down":
            lab.down()
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except LabError as error:
        raise SystemExit(str(error)) from None
