"""The contract: what `dbus-interfaces/*.xml` says of every method and signal of both API generations."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final
from xml.parsers import expat

from jamid.bus import signature
from jamid.core.errors import LocalError

BUS_NAME: Final = "cx.ring.Ring"
ROOT_PATH: Final = "/cx/ring/Ring"
GENERATIONS_ANNOTATION: Final = "cx.ring.Ring.Generations"
"""the annotation that names the API generations a member belongs to, separated by blanks; without it a member belongs to all"""

API_LEVELS: Final = {
    "13": frozenset({"13"}),
    "17": frozenset({"17"}),
    "both": frozenset({"13", "17", "newer"}),
}
"""what `--api-level` takes; `newer` marks what came after 17.0.0"""

_INTEGER = re.compile("[nqiuxt]")
_QT_TYPE = "org.qtproject.QtDBus.QtTypeName"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a method or signal."""

    name: str
    type: str
    """one complete D-Bus type"""
    outgoing: bool = False


@dataclass(frozen=True)
class Member:
    """One form of a method or a signal; a name whose signature differs between the generations has several."""

    name: str
    arguments: tuple[Argument, ...]
    generations: frozenset[str]
    annotations: tuple[tuple[str, str], ...] = ()

    @cached_property
    def in_types(self) -> tuple[str, ...]:
        """The types a caller sends; of a signal: what it carries."""
        return tuple(argument.type for argument in self.arguments if not argument.outgoing)

    @cached_property
    def out_types(self) -> tuple[str, ...]:
        return tuple(argument.type for argument in self.arguments if argument.outgoing)

    @cached_property
    def in_signature(self) -> str:
        return "".join(self.in_types)

    @cached_property
    def out_signature(self) -> str:
        return "".join(self.out_types)


@dataclass(frozen=True)
class InterfaceContract:
    """One interface: every form of every method and signal, in the order of its file."""

    name: str
    """short: `CallManager`"""
    methods: dict[str, tuple[Member, ...]]
    signals: dict[str, tuple[Member, ...]]

    @property
    def full_name(self) -> str:
        return f"{BUS_NAME}.{self.name}"

    @property
    def path(self) -> str:
        return f"{ROOT_PATH}/{self.name}"

    def find_method(self, name: str, in_signature: str) -> Member | None:
        """The form of NAME that takes IN_SIGNATURE, or the longest one that takes its beginning: surplus arguments are ignored.

        Whole numbers of another width count as equal, since clients that do not introspect send every number as int32.
        """
        forms = self.methods.get(name, ())
        for form in forms:
            if form.in_signature == in_signature:
                return form
        try:
            given = _one_width(signature.split(in_signature))
        except LocalError:
            return None
        fitting = [form for form in forms if given[: len(form.in_types)] == _one_width(form.in_types)]
        return max(fitting, key=lambda form: len(form.in_types), default=None)


def directory() -> Path:
    """Where the XML files are: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parent
    checkout = package.parents[1] / "dbus-interfaces"
    return checkout if checkout.is_dir() else package / "interfaces"


def load(path: Path | None = None) -> dict[str, InterfaceContract]:
    """Every interface of the directory PATH by short name; raises LocalError when a file is missing or broken."""
    where = path or directory()
    contracts = {}
    for file in sorted(where.glob("cx.ring.Ring.*.xml")):
        try:
            contract = _Parser().parse(file.read_bytes())
        except (OSError, expat.ExpatError, KeyError) as error:
            raise LocalError(f"cannot read the D-Bus contract {file}: {error}") from error
        contracts[contract.name] = contract
    if not contracts:
        raise LocalError(f"no D-Bus contract in {where}; reinstall the package")
    return contracts


class _Parser:
    """Collects the members of one file; the documentation in it is skipped, so that it costs the daemon no memory."""

    def __init__(self) -> None:
        self._name = ""
        self._members: dict[str, dict[str, tuple[Member, ...]]] = {"method": {}, "signal": {}}
        self._arguments: list[Argument] = []
        self._annotations: dict[str, str] = {}

    def parse(self, data: bytes) -> InterfaceContract:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.Parse(data, True)
        return InterfaceContract(self._name.removeprefix(BUS_NAME + "."), self._members["method"], self._members["signal"])

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "interface":
            self._name = attributes["name"]
        elif tag in self._members:
            self._member = attributes["name"]
            self._arguments, self._annotations = [], {}
        elif tag == "arg":
            argument = Argument(sys.intern(attributes["name"]), sys.intern(attributes["type"]), attributes.get("direction") == "out")
            self._arguments.append(argument)
        elif tag == "annotation":
            self._annotations[attributes["name"]] = attributes["value"]

    def _end(self, tag: str) -> None:
        if tag not in self._members:
            return
        generations = self._annotations.get(GENERATIONS_ANNOTATION, "13 17 newer")
        qt_types = tuple(item for item in self._annotations.items() if item[0].startswith(_QT_TYPE))
        member = Member(self._member, tuple(self._arguments), _generations(generations), qt_types)
        forms = self._members[tag]
        forms[member.name] = (*forms.get(member.name, ()), member)


@lru_cache(maxsize=8)
def _generations(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _one_width(types: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_INTEGER.sub("i", one) if one != "ay" else one for one in types)
