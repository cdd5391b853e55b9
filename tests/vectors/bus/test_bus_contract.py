"""The contract holds every member of both reference daemons, documented, and is what Introspect shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from jamid.bus import contract, introspection
from jamid.bus.contract import API_LEVELS, BUS_NAME
from jamid.bus.generations import event_types, member_name, special_forms
from jamid.bus.signature import neutral, split

DATA = Path(__file__).parents[2] / "data" / "bus"
RECORDED = {"13": "api-13.7.0.json", "17": "api-17.0.0.json", "newer": "api-head-2026.json"}
DOCSTRING = "{http://telepathy.freedesktop.org/wiki/DbusSpec#extensions-v0}docstring"


def recorded(generation: str) -> dict[str, Any]:
    return {
        name.removeprefix(BUS_NAME + "."): members
        for name, members in json.loads((DATA / RECORDED[generation]).read_text()).items()
        if name.startswith(BUS_NAME)
    }


@pytest.mark.parametrize("generation", RECORDED)
def test_every_recorded_member_is_declared(generation: str) -> None:
    contracts = contract.load()
    for name, members in recorded(generation).items():
        for method, form in members["methods"].items():
            declared = [one for one in contracts[name].methods.get(method, ()) if one.in_signature == form["in"]]
            assert [one.out_signature for one in declared] == [form["out"]], f"{name}.{method}({form['in']})"
            assert generation in declared[0].generations or (generation == "newer" and "17" in declared[0].generations)
        for signal, form in members["signals"].items():
            declared = [one for one in contracts[name].signals.get(signal, ()) if one.in_signature == form["args"]]
            assert len(declared) == 1, f"{name}.{signal}({form['args']})"


@pytest.mark.parametrize("generation", ["13", "17"])
def test_nothing_is_declared_for_a_generation_that_lacks_it(generation: str) -> None:
    known = recorded(generation)
    for name, interface in contract.load().items():
        for kind, key, members in (("methods", "in", interface.methods), ("signals", "args", interface.signals)):
            for member, forms in members.items():
                for form in forms:
                    if generation in form.generations:
                        assert known[name][kind][member][key] == form.in_signature


def test_overload_of_the_older_generation_is_declared_last() -> None:
    # Clients that keep one signature per name (python-dbus) keep the last one, and such clients are old.
    for interface in contract.load().values():
        for forms in interface.methods.values():
            if len(forms) > 1:
                assert forms[-1].generations == {"13"}


def test_every_member_and_argument_is_documented() -> None:
    for file in contract.directory().glob("*.xml"):
        root = ElementTree.parse(file).getroot()
        elements = [element for tag in ("interface", "method", "signal", "arg") for element in root.iter(tag)]
        undocumented = [element.get("name") for element in elements if len((element.findtext(DOCSTRING) or "").strip()) < 2]
        assert not undocumented, file.name


@pytest.mark.parametrize("level", API_LEVELS)
def test_introspection_shows_exactly_the_level(level: str) -> None:
    contracts = contract.load()
    documents = introspection.Documents(contracts, API_LEVELS[level])
    assert (contracts["NetworkServiceManager"].path in documents) is (level != "13")
    for interface in contracts.values():
        if interface.path not in documents:
            continue
        shown = ElementTree.fromstring(documents[interface.path])
        element = next(one for one in shown.findall("interface") if one.get("name") == interface.full_name)
        for tag, members in (("method", interface.methods), ("signal", interface.signals)):
            signatures = [
                (one.get("name"), "".join(str(arg.get("type")) for arg in one.findall("arg") if arg.get("direction") != "out"))
                for one in element.findall(tag)
            ]
            expected = [
                (name, form.in_signature) for name, forms in members.items() for form in forms if form.generations & API_LEVELS[level]
            ]
            assert signatures == expected
    for parent, child in (("/", "cx"), ("/cx", "ring"), ("/cx/ring", "Ring"), ("/cx/ring/Ring", "CallManager")):
        assert child in [node.get("name") for node in ElementTree.fromstring(documents[parent]).findall("node")]


def test_every_signal_of_the_contract_has_an_event_and_the_other_way_round() -> None:
    sent = {member_name(event_type) for event_type in event_types()}
    sent |= {form.member for event_type in event_types() for form in special_forms(event_type)}
    declared = {name for interface in contract.load().values() for name in interface.signals}
    assert sent == declared


def test_neutral_values() -> None:
    assert [neutral(one) for one in split("sba{ss}aa{ss}ayasduxt(sa{ss}b)a{sa{sas}}")] == [
        "", False, {}, [], b"", [], 0.0, 0, 0, 0, ["", {}, False], {},
    ]  # fmt: skip
