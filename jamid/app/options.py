"""The command line: the real daemon's flags with their meaning, and ours (protocol: dbus, section 2)."""

from __future__ import annotations

import getopt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jamid import __version__
from jamid.core.errors import LocalError
from jamid.core.generations import BOTH, Generation, parse_generations

TITLE = f"jamid {__version__}, a Jami daemon in Python (GPL-3.0-or-later)"
USAGE = """\
Usage: jamid [OPTION]...

  -c, --console           log to the console, not to syslog
      --syslog            log to syslog (default: console on a terminal or under systemd, else syslog)
  -d, --debug             log debug detail
  -p, --persistent        stay when the last client unregisters
      --auto-answer       answer every incoming call
      --bus BUS           the bus to serve: session (default), system, or an address such as unix:path=/run/x/bus
      --api-level LEVEL   the D-Bus API's generation: 13, 17 or both (default both; also JAMID_API_LEVEL)
      --generations GEN   network peers to speak to: 13, 17 or both (default both; also JAMID_GENERATIONS; for tests)
  -h, --help              this text
  -v, --version           the version

Files are kept under XDG_CONFIG_HOME/jami, XDG_DATA_HOME/jami and XDG_CACHE_HOME/jami. The environment may also set
JAMI_LOG_FILE (log to this file as well), NO_COLOR, and JAMI_LOG_SIP, JAMI_LOG_DHT, JAMI_LOG_TLS, JAMI_LOG_DHTNET (log levels).
"""

_SHORT = "cdphv"
_LONG = ["console", "syslog", "debug", "persistent", "auto-answer", "help", "version", "bus=", "api-level=", "generations="]
_SWITCHES = {
    "-c": "console", "--console": "console", "--syslog": "syslog", "-d": "debug", "--debug": "debug",
    "-p": "persistent", "--persistent": "persistent", "--auto-answer": "auto_answer",
}  # fmt: skip
_VARIABLES = {"--api-level": "JAMID_API_LEVEL", "--generations": "JAMID_GENERATIONS"}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line and the environment ask for."""

    console: bool = False
    syslog: bool = False
    debug: bool = False
    persistent: bool = False
    auto_answer: bool = False
    bus: str = "session"
    """`session`, `system` or a bus address"""
    api_level: str = "both"
    """the generation of the D-Bus API that is shown: `13`, `17` or `both`"""
    generations: frozenset[Generation] = BOTH
    """the generations of the network that are spoken"""


class PrintAndExit(Exception):  # noqa: N818 - not an error
    """The command line asks for a text and nothing else; the real daemon answers a wrong option in the same way, with exit code 0."""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Options from the command line; raises PrintAndExit with the text to print, LocalError for a value that is none."""
    try:
        found, rest = getopt.gnu_getopt(list(arguments), _SHORT, _LONG)
    except getopt.GetoptError as error:
        raise PrintAndExit(f"{TITLE}\n\njamid: {error}\n\n{USAGE}") from None
    if rest:
        raise PrintAndExit(f"{TITLE}\n\njamid: takes no argument {rest[0]!r}\n\n{USAGE}")
    switches: dict[str, bool] = {}
    values = {option: environment.get(variable, "") for option, variable in _VARIABLES.items()} | {"--bus": "session"}
    for option, value in found:
        if option in ("-h", "--help"):
            raise PrintAndExit(f"{TITLE}\n\n{USAGE}")
        if option in ("-v", "--version"):
            raise PrintAndExit(TITLE)
        if option in _SWITCHES:
            switches[_SWITCHES[option]] = True
        else:
            values[option] = value
    return Options(
        **switches,
        bus=_bus(values["--bus"]),
        api_level=_api_level(values["--api-level"]),
        generations=_generations(values["--generations"]),
    )


def _bus(value: str) -> str:
    if value in ("session", "system") or ":" in value:
        return value
    raise LocalError(f"--bus takes session, system or a bus address such as unix:path=/run/x/bus, not {value!r}")


def _api_level(value: str) -> str:
    if value in ("13", "17", "both", ""):
        return value or "both"
    raise LocalError(f"--api-level (JAMID_API_LEVEL) takes 13, 17 or both, not {value!r}")


def _generations(value: str) -> frozenset[Generation]:
    try:
        return parse_generations(value)
    except ValueError:
        raise LocalError(f"--generations (JAMID_GENERATIONS) takes 13, 17 or both, not {value!r}") from None
