"""What `Introspect` answers: the contract restricted to an API level, and child nodes for every parent path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.sax.saxutils import quoteattr

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


def documents(contracts: Mapping[str, InterfaceContract], level: frozenset[str]) -> dict[str, str]:
    """The introspection document of every path of the daemon, parents included, for the API generations in LEVEL."""
    found = {}
    for contract in contracts.values():
        found[contract.path] = f"{_DOCTYPE}<node>\n{_STANDARD}{_interface(contract, level)}</node>\n"
    parts = ROOT_PATH.split("/")[1:]
    for depth in range(len(parts)):
        parent = "/" + "/".join(parts[:depth])
        found[parent] = _parent([parts[depth]])
    found[ROOT_PATH] = _parent(sorted(contracts))
    return found


def _parent(children: Iterable[str]) -> str:
    nodes = "".join(f" <node name={quoteattr(child)}/>\n" for child in children)
    return f"{_DOCTYPE}<node>\n{_STANDARD}{nodes}</node>\n"


def _interface(contract: InterfaceContract, level: frozenset[str]) -> str:
    lines = [f" <interface name={quoteattr(contract.full_name)}>\n"]
    for kind, members in (("method", contract.methods), ("signal", contract.signals)):
        for forms in members.values():
            lines += [_member(kind, form) for form in forms if form.generations & level]
    lines.append(" </interface>\n")
    return "".join(lines)


def _member(kind: str, member: Member) -> str:
    inner = [f"   <annotation name={quoteattr(name)} value={quoteattr(value)}/>\n" for name, value in member.annotations]
    for argument in member.arguments:
        direction = f' direction="{"out" if argument.outgoing else "in"}"' if kind == "method" else ""
        inner.append(f"   <arg type={quoteattr(argument.type)} name={quoteattr(argument.name)}{direction}/>\n")
    if not inner:
        return f"  <{kind} name={quoteattr(member.name)}/>\n"
    return f"  <{kind} name={quoteattr(member.name)}>\n{''.join(inner)}  </{kind}>\n"
