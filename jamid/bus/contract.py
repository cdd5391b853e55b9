"""The contract: what `dbus-interfaces/*.xml` says of every method and signal of both API generations."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

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
    checkout = Path(__file__).resolve().parents[2] / "dbus-interfaces"
    if checkout.is_dir():
        return checkout
    return Path(str(importlib.resources.files("jamid.bus") / "interfaces"))


def load(path: Path | None = None) -> dict[str, InterfaceContract]:
    """Every interface of the directory PATH by short name; raises LocalError when a file is missing or broken."""
    where = path or directory()
    contracts = {}
    for file in sorted(where.glob("cx.ring.Ring.*.xml")):
        try:
            element = ElementTree.parse(file).getroot().find("interface")
        except (OSError, ElementTree.ParseError) as error:
            raise LocalError(f"cannot read the D-Bus contract {file}: {error}") from error
        if element is None:
            raise LocalError(f"the D-Bus contract {file} holds no interface")
        contract = _interface(element)
        contracts[contract.name] = contract
    if not contracts:
        raise LocalError(f"no D-Bus contract in {where}; reinstall the package")
    return contracts


def _one_width(types: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_INTEGER.sub("i", one) if one != "ay" else one for one in types)


def _interface(element: ElementTree.Element) -> InterfaceContract:
    return InterfaceContract(
        element.get("name", "").removeprefix(BUS_NAME + "."),
        _by_name(_member(child, incoming="in") for child in element.iter("method")),
        _by_name(_member(child, incoming="") for child in element.iter("signal")),
    )


def _by_name(members: Iterable[Member]) -> dict[str, tuple[Member, ...]]:
    grouped: dict[str, tuple[Member, ...]] = {}
    for member in members:
        grouped[member.name] = (*grouped.get(member.name, ()), member)
    return grouped


def _member(element: ElementTree.Element, incoming: str) -> Member:
    annotations = {child.get("name", ""): child.get("value", "") for child in element.findall("annotation")}
    arguments = tuple(
        Argument(child.get("name", ""), child.get("type", ""), bool(incoming) and child.get("direction") == "out")
        for child in element.findall("arg")
    )
    return Member(
        element.get("name", ""),
        arguments,
        frozenset(annotations.get(GENERATIONS_ANNOTATION, "13 17 newer").split()),
        tuple(item for item in annotations.items() if item[0].startswith(_QT_TYPE)),
    )
