"""The jami command against a daemon without accounts: output, exit codes, completion, time."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jamid.client.commands.completion import bash
from tests.interop.lab import BUS_CONFIGURATION, REPOSITORY, wait_until

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A daemon on a bus of its own; the environment in which it is reached."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("needs dbus-daemon (apt-get install dbus)")
    home = tmp_path_factory.mktemp("jami")
    (home / "bus.conf").write_text(BUS_CONFIGURATION.format(socket=home / "bus"))
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "DBUS_SESSION_BUS_ADDRESS": f"unix:path={home}/bus",
                   "PYTHONPATH": str(REPOSITORY)}  # fmt: skip
    bus = subprocess.Popen(["dbus-daemon", f"--config-file={home}/bus.conf", "--nofork", "--nopidfile"], stderr=subprocess.DEVNULL)
    wait_until((home / "bus").exists, "the bus")
    command = [sys.executable, "-m", "jamid.app", "-c", "-p"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: invoke(environment, "daemon", "ping").returncode == 0, "the daemon", 20)
        yield environment
    finally:
        for one in (process, bus):
            one.send_signal(signal.SIGTERM)
            one.wait(5)


def invoke(environment: dict[str, str], *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jamid.client.commands", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, input=stdin, check=False, timeout=30)


def test_empty_list_is_no_output_and_no_error(daemon: dict[str, str]) -> None:
    done = invoke(daemon, "account", "list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_json_may_be_asked_before_and_behind(daemon: dict[str, str]) -> None:
    for words in (("--json", "daemon", "ping"), ("daemon", "ping", "--json")):
        assert json.loads(invoke(daemon, *words).stdout)["accounts"] == 0


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("account", "show", "--account", "nobody"), 4, "nobody"),
        (("contact", "list"), 4, "there is no account yet"),
        (("nonsense",), 2, "invalid choice"),
        (("account", "set", "novalue"), 4, "there is no account yet"),
        ((), 2, ""),
    ],
)
def test_exit_codes_say_what_went_wrong(daemon: dict[str, str], words: tuple[str, ...], code: int, text: str) -> None:
    done = invoke(daemon, *words)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_no_daemon_and_no_bus_are_3(daemon: dict[str, str], tmp_path: Path) -> None:
    assert invoke(daemon | {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path}/none"}, "daemon", "ping").returncode == 3
    without = {key: value for key, value in daemon.items() if key != "DBUS_SESSION_BUS_ADDRESS"} | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = invoke(without, "daemon", "ping")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


def test_account_is_made_shown_and_removed(daemon: dict[str, str]) -> None:
    made = json.loads(invoke(daemon, "account", "add", "--name", "Eve", "--bootstrap", "127.0.0.1:9", "--json").stdout)["id"]
    try:
        assert invoke(daemon, "account", "list").stdout.splitlines()[1].startswith(f"{made}  Eve")
        assert "Account.displayName=Eve\n" in invoke(daemon, "account", "show").stdout
        assert invoke(daemon, "account", "remove").returncode == 1, "no terminal to ask at"
    finally:
        assert invoke(daemon, "account", "remove", "--account", made, "--yes").returncode == 0
    assert invoke(daemon, "account", "list").stdout == ""


def test_a_call_of_the_command_costs_little(daemon: dict[str, str]) -> None:
    def seconds() -> float:  # of the processor: the clock would measure the other tests
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        invoke(daemon, "account", "list")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.3


def test_completion_knows_topics_verbs_and_flags(tmp_path: Path) -> None:
    script = tmp_path / "jami.bash"
    script.write_text(bash() + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _jami; echo "${COMPREPLY[*]}"\n')

    def complete(*words: str) -> list[str]:
        return subprocess.run(["bash", str(script), "jami", *words], capture_output=True, text=True, check=True).stdout.split()

    assert complete("acc") == ["account"]
    assert set(complete("message", "s")) == {"send", "search"}
    assert "--bootstrap" in complete("--account", "x", "account", "add", "--b")


def test_installed_completion_is_the_generated_one() -> None:
    installed = (REPOSITORY / "scripts/completion/jami.bash").read_text()
    assert installed == bash() + "\n", "run: jami completion bash > scripts/completion/jami.bash"


def test_a_reader_that_has_had_enough_is_no_error(daemon: dict[str, str]) -> None:
    command = [sys.executable, "-m", "jamid.client.commands", "completion", "bash"]
    process = subprocess.Popen(command, env=daemon, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert (process.communicate(timeout=20)[1], process.returncode) == (b"", 0)
