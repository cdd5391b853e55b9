from __future__ import annotations

import struct
from pathlib import Path

import pytest

from jamid.core.errors import RemoteError
from jamid.net.addresses import default_router
from jamid.net.port_mapping import natpmp, upnp

_SERVICE = "<service><serviceType>urn:schemas-upnp-org:service:{0}</serviceType><controlURL>{1}</controlURL></service>"


def test_natpmp_messages() -> None:
    assert natpmp.ask_mapping(natpmp.TCP, 4000, 10001, 7200).hex() == "000200000fa0271100001c20"
    assert natpmp.ask_address() == b"\0\0"
    answer = bytes.fromhex("00820000000000640fa0271100000e10")
    assert natpmp.parse(answer) == natpmp.Mapped(natpmp.TCP, 4000, 10001, 3600)
    assert natpmp.parse(bytes.fromhex("0080000000000064cb007101")) == natpmp.ExternalAddress("203.0.113.1")
    assert natpmp.parse(bytes.fromhex("0080000100000000")) == natpmp.Declined(1, unsupported=True)


def test_pcp_messages() -> None:
    request = natpmp.ask_pcp_mapping(natpmp.UDP, 4000, 20001, 7200, client="192.168.1.2", nonce=b"n" * 12)
    assert len(request) == 60
    assert request[:8].hex() == "0201000000001c20"
    answer = b"\x02\x81\0\0" + struct.pack("!II", 3600, 5) + bytes(12) + b"n" * 12 + struct.pack("!B3xHH", 17, 4000, 20002)
    answer += bytes(10) + b"\xff\xff" + bytes((203, 0, 113, 1))
    assert natpmp.parse(answer) == natpmp.Mapped(natpmp.UDP, 4000, 20002, 3600, "203.0.113.1", b"n" * 12)


def test_description_names_the_service_and_its_address() -> None:
    services = _SERVICE.format("WANPPPConnection:1", "/ppp") + _SERVICE.format("WANIPConnection:1", "ctl/IPConn")
    gateway = upnp.parse_description(f"<root>{services}</root>".encode(), "http://10.0.0.1:5000/root.xml")
    assert gateway == upnp.Gateway("http://10.0.0.1:5000/ctl/IPConn", "urn:schemas-upnp-org:service:WANIPConnection:1")


@pytest.mark.parametrize(
    "document",
    [
        "<root/>",
        f"<root><URLBase>http://10.0.0.9/</URLBase>{_SERVICE.format('WANIPConnection:1', '/x')}</root>",
        f"<root>{_SERVICE.format('WANIPConnection:1', 'http://evil.example/x')}</root>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><root>&a;</root>",
    ],
)
def test_description_that_offers_nothing_or_points_elsewhere(document: str) -> None:
    with pytest.raises(RemoteError, match="router"):
        upnp.parse_description(document.encode(), "http://10.0.0.1:5000/root.xml")


def test_search_response_must_point_to_its_sender() -> None:
    response = b"HTTP/1.1 200 OK\r\nLocation: http://10.0.0.1:5000/root.xml\r\nST: x\r\n\r\n"
    assert upnp.parse_search_response(response, "10.0.0.1") == "http://10.0.0.1:5000/root.xml"
    with pytest.raises(RemoteError, match="another host"):
        upnp.parse_search_response(response, "10.0.0.2")


def test_soap() -> None:
    body = upnp.soap("urn:s", "AddPortMapping", {"NewPortMappingDescription": "<&>"})
    assert b"<NewPortMappingDescription>&lt;&amp;&gt;</NewPortMappingDescription>" in body
    fault = b"<e><errorCode>718</errorCode><errorDescription>ConflictInMappingEntry</errorDescription></e>"
    with pytest.raises(upnp.UpnpError, match="718 Conflict") as caught:
        upnp.parse_soap(fault)
    assert caught.value.code == upnp.CONFLICT


def test_default_router(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    )
    assert default_router(table) == "172.17.0.1"
    assert default_router(tmp_path / "absent") is None
