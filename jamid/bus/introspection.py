"""What `Introspect` answers: the contract restricted to an API level, and child nodes for every parent path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jamid.bus.contract import ROOT_PATH, InterfaceContract, Member

_DOCTYPE = (
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
    '"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n'
)

_STANDARD = """\
 <interface name="org.freedesktop.DBus.Peer">
  <method name="Ping"/>
  <method name="GetMachineId">
   <arg type="s" name="machine_uuid" direction="out"/>
  </method>
 </interface>
 <interface name="org.freedesktop.DBus.Introspectable">
  <method name="Introspect">
   <arg type="s" name="xml_data" direction="out"/>
  </method>
 </interface>
 <interface name="org.freedesktop.DBus.Properties">
  <method name="Get">
   <arg type="s" name="interface_name" direction="in"/>
   <arg type="s" name="property_name" direction="in"/>
   <arg type="v" name="value" direction="out"/>
  </method>
  <method name="GetAll">
   <arg type="s" name="interface_name" direction="in"/>
   <arg type="a{sv}" name="props" direction="out"/>
  </method>
  <method name="Set">
   <arg type="s" name="interface_name" direction="in"/>
   <arg type="s" name="property_name" direction="in"/>
   <arg type="v" name="value" direction="in"/>
  </method>
  <signal name="PropertiesChanged">
   <arg type="s" name="interface_name"/>
   <arg type="a{sv}" name="changed_properties"/>
   <arg type="as" name="invalidated_properties"/>
  </signal>
 </interface>
"""


class Documents:
    """The introspection document of every path of the daemon, parents included, for the API generations in LEVEL."""

    def __init__(self, contracts: Mapping[str, InterfaceContract], level: frozenset[str]) -> None:
        self._contracts = {contract.path: contract for contract in contracts.values() if _has_members(contract, level)}
        self._level = level
        parts = ROOT_PATH.split("/")[1:]
        self._children = {"/" + "/".join(parts[:depth]): [parts[depth]] for depth in range(len(parts))}
        self._children[ROOT_PATH] = sorted(contract.name for contract in self._contracts.values())

    def __contains__(self, path: str) -> bool:
        return path in self._contracts or path in self._children

    def __getitem__(self, path: str) -> str:
        """Made anew each time: few ask, and the largest has 90 kB."""
        if path in self._children:
            return _parent(self._children[path])
        return f"{_DOCTYPE}<node>\n{_STANDARD}{_interface(self._contracts[path], self._level)}</node>\n"


def _has_members(contract: InterfaceContract, level: frozenset[str]) -> bool:
    return any(form.generations & level for forms in (*contract.methods.values(), *contract.signals.values()) for form in forms)


def _parent(children: Iterable[str]) -> str:
    nodes = "".join(f" <node name={_quoted(child)}/>\n" for child in children)
    return f"{_DOCTYPE}<node>\n{_STANDARD}{nodes}</node>\n"


def _interface(contract: InterfaceContract, level: frozenset[str]) -> str:
    lines = [f" <interface name={_quoted(contract.full_name)}>\n"]
    for kind, members in (("method", contract.methods), ("signal", contract.signals)):
        for forms in members.values():
            lines += [_member(kind, form) for form in forms if form.generations & level]
    lines.append(" </interface>\n")
    return "".join(lines)


def _member(kind: str, member: Member) -> str:
    inner = [f"   <annotation name={_quoted(name)} value={_quoted(value)}/>\n" for name, value in member.annotations]
    for argument in member.arguments:
        direction = f' direction="{"out" if argument.outgoing else "in"}"' if kind == "method" else ""
        inner.append(f"   <arg type={_quoted(argument.type)} name={_quoted(argument.name)}{direction}/>\n")
    if not inner:
        return f"  <{kind} name={_quoted(member.name)}/>\n"
    return f"  <{kind} name={_quoted(member.name)}>\n{''.join(inner)}  </{kind}>\n"


def _quoted(value: str) -> str:
    # xml.sax.saxutils would do it, at the price of importing urllib, http and email.
    return '"' + value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;") + '"'
