"""The house rules that a machine can check: who may import whom, how long a file may be, what is not written in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "jamid"

ROOMS = ("core", "crypto", "dht", "net", "sip", "media", "accounts", "swarm", "calls", "plugins", "bus", "app")
STRANGERS = ("accounts", "swarm", "calls", "plugins")  # never import each other
LINES = 480
TABLES = {"core/signals/configuration.py": 600}
"""files that only list things may be longer"""
HEAVY = ("av", "numpy", "sounddevice", "opuslib", "pygit2", "dulwich", "aiohttp", "pylibsrtp")
FORBIDDEN_NAMES = ("utils", "util", "helpers", "helper", "misc", "common")


def allowed_imports(room: str) -> set[str]:
    """The rooms that ROOM may import."""
    if room == "client":
        return {"client", "core"}
    above = set(ROOMS[: ROOMS.index(room) + 1])
    return above - (set(STRANGERS) - {room} if room in STRANGERS else set())


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each imported module, absolute, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide where a name comes from"
            yield node.lineno, node.module or ""
            if node.module == "jamid":
                yield from ((node.lineno, f"jamid.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_the_rules(path: Path) -> None:
    place = path.relative_to(PACKAGE).parts
    source = path.read_text()
    tree = ast.parse(source)
    wrong = []
    if len(place) > 1:
        allowed = allowed_imports(place[0])
        for line, module in imports(tree):
            parts = module.split(".")
            if parts[0] == "jamid" and len(parts) > 1 and parts[1] in (*ROOMS, "client") and parts[1] not in allowed:
                wrong.append(f"line {line}: {place[0]} may not import {module}")
    count = source.count("\n")
    if count > (most := TABLES.get("/".join(place), LINES)):
        wrong.append(f"{count} lines, at most {most}: split by state or direction")
    if path.stem in FORBIDDEN_NAMES:
        wrong.append(f"{path.name} says nothing of what is in it")
    assert not wrong, "\n".join(wrong)


def test_start_imports_nothing_heavy() -> None:
    program = f"import jamid.app.wiring, sys; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    assert loaded == [], "import these on first use, inside functions: they cost memory and start-up time"


def test_every_package_says_what_it_is_for() -> None:
    assert [str(path) for path in PACKAGE.rglob("__init__.py") if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_project_names_no_path_of_the_machine_it_was_written_on() -> None:
    # Spelt in pieces, or this file would find itself.
    foreign = ["/" + "work/", "shared" + "/protocol", "/root" + "/"]
    kinds = {".py", ".md", ".sh", ".toml", ".service", ".xml", ".conf", ".c", ".1", ""}
    places = ("jamid", "tests", "scripts", "systemd", "docs", "dbus-interfaces", ".ci", "README.md", "CHANGELOG.md", "pyproject.toml")
    roots = [REPOSITORY / place for place in places]
    files = [file for root in roots for file in (root.rglob("*") if root.is_dir() else [root])]
    found = []
    for file in files:
        if file.is_file() and file.suffix in kinds and "__pycache__" not in file.parts:
            text = file.read_text(errors="replace")
            found += [f"{file.relative_to(REPOSITORY)}: {word}" for word in foreign if word in text]
    assert found == []
