"""The command line: the real daemon's flags keep their meaning, wrong values are named."""

from __future__ import annotations

import pytest

from jamid.app.options import Options, PrintAndExit, parse
from jamid.core.errors import LocalError
from jamid.core.generations import BOTH, Generation


def test_flags_of_the_real_daemon() -> None:
    assert parse(["-cdp", "--auto-answer"], {}) == Options(console=True, debug=True, persistent=True, auto_answer=True)
    long_flags = ["--console", "--debug", "--persistent", "--syslog"]
    assert parse(long_flags, {}) == Options(console=True, debug=True, persistent=True, syslog=True)


def test_defaults_serve_both_generations_on_the_session_bus() -> None:
    assert parse([], {}) == Options(bus="session", api_level="both", generations=BOTH)


@pytest.mark.parametrize("flags", [["-h"], ["--help"], ["--nonsense"], ["-x"], ["stray"]])
def test_help_and_unknown_options_show_the_usage(flags: list[str]) -> None:
    with pytest.raises(PrintAndExit, match="Usage: jamid"):
        parse(flags, {})


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version_is_the_title_alone(flag: str) -> None:
    with pytest.raises(PrintAndExit, match=r"^jamid \d+\.\d+\.\d+, [^\n]*$"):
        parse([flag], {})


def test_command_line_beats_environment() -> None:
    environment = {"JAMID_API_LEVEL": "13", "JAMID_GENERATIONS": "13"}
    assert parse([], environment).api_level == "13"
    assert parse(["--api-level", "17", "--generations=17"], environment) == Options(api_level="17", generations=frozenset({Generation.G17}))


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--bus", "sesion"], "--bus takes session, system"),
        (["--api-level=14"], "--api-level .* not '14'"),
        (["--generations", "x"], "--generations .* not 'x'"),
    ],
)
def test_wrong_values_are_named(flags: list[str], text: str) -> None:
    with pytest.raises(LocalError, match=text):
        parse(flags, {})


def test_bus_may_be_an_address() -> None:
    assert parse(["--bus", "unix:path=/run/x/bus"], {}).bus == "unix:path=/run/x/bus"
