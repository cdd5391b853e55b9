"""UPnP Internet Gateway Devices: search, description and SOAP as text, and the blocking HTTP that carries them."""

from __future__ import annotations

import http.client
import urllib.parse
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from jamid.core import limits
from jamid.core.errors import RemoteError

SEARCH_ADDRESS: Final = ("239.255.255.250", 1900)
SEARCH_TARGETS: Final = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
)
_SERVICES: Final = (
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
)
_HTTP_SECONDS: Final = 4.0
PERMANENT_ONLY: Final = 725
CONFLICT: Final = 718


@dataclass(frozen=True, slots=True)
class Gateway:
    """A router's service for port mappings."""

    control_url: str
    service: str


class UpnpError(RemoteError):
    """The router declined an action."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the router declined: {code} {text}")
        self.code = code


def search(target: str) -> bytes:
    """The multicast question for routers."""
    lines = ("M-SEARCH * HTTP/1.1", "HOST: 239.255.255.250:1900", 'MAN: "ssdp:discover"', "MX: 2", f"ST: {target}", "", "")
    return "\r\n".join(lines).encode()


def parse_search_response(data: bytes, sender: str) -> str:
    """The address of the description that a router at SENDER tells; raises RemoteError, also when it points to another host."""
    head, *lines = data[:4096].decode("latin-1").split("\r\n")
    if not head.startswith("HTTP/1.") or " 200" not in head:
        raise RemoteError("not an answer to a UPnP search")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    location = headers.get("location", "")
    _check_url(location, sender)
    return location


def parse_description(data: bytes, url: str) -> Gateway:
    """The first service for port mappings in a router's description, which came from URL; raises RemoteError."""
    root = _xml(data)
    services: dict[str, str] = {}
    base = url
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        if tag == "URLBase" and element.text:
            base = element.text.strip()
        elif tag == "service":
            fields = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in element}
            services.setdefault(fields.get("serviceType", ""), fields.get("controlURL", ""))
    for service in _SERVICES:
        if services.get(service):
            try:
                control_url = urllib.parse.urljoin(base, services[service])
            except ValueError:
                raise RemoteError("the router's control address is broken") from None
            _check_url(control_url, urllib.parse.urlsplit(url).hostname or "")
            return Gateway(control_url, service)
    raise RemoteError("the router offers no port mappings")


def soap(service: str, action: str, arguments: dict[str, str]) -> bytes:
    """The body of a call."""
    inside = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in arguments.items())
    return (
        '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
        f'<u:{action} xmlns:u="{service}">{inside}</u:{action}></s:Body></s:Envelope>\r\n'
    ).encode()


def parse_soap(data: bytes) -> dict[str, str]:
    """The results of a call by name; raises UpnpError for a fault and RemoteError for anything else."""
    values = {element.tag.rpartition("}")[2]: (element.text or "").strip() for element in _xml(data).iter()}
    if "errorCode" in values:
        code = values["errorCode"]
        raise UpnpError(int(code) if code.isdigit() and len(code) < 6 else 0, values.get("errorDescription", "")[:200])
    return values


def call(gateway: Gateway, action: str, arguments: dict[str, str]) -> dict[str, str]:
    """Calls ACTION at the router and returns its results; blocks, raises RemoteError."""
    headers = {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": f'"{gateway.service}#{action}"', "Connection": "close"}
    return parse_soap(_request("POST", gateway.control_url, soap(gateway.service, action, arguments), headers))


def describe(url: str) -> Gateway:
    """Fetches the description at URL; blocks, raises RemoteError."""
    return parse_description(_request("GET", url, None, {"Connection": "close"}), url)


def local_address_towards(url: str) -> str:
    """The address from which this machine speaks to the host of URL."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_HTTP_SECONDS)
    try:
        connection.connect()
        return str(connection.sock.getsockname()[0])
    except OSError as error:
        raise RemoteError(f"the router cannot be reached: {error}") from None
    finally:
        connection.close()


def _request(method: str, url: str, body: bytes | None, headers: dict[str, str]) -> bytes:
    parts = urllib.parse.urlsplit(url)
    path = parts.path or "/"
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_HTTP_SECONDS)
    try:
        connection.request(method, f"{path}?{parts.query}" if parts.query else path, body, headers)
        response = connection.getresponse()
        data = response.read(limits.UPNP_DOCUMENT_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise RemoteError(f"the router does not answer: {error}") from None
    finally:
        connection.close()
    if len(data) > limits.UPNP_DOCUMENT_BYTES:
        raise RemoteError("the router's answer is too long")
    return data


def _check_url(url: str, host: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        right = parts.scheme == "http" and parts.hostname == host and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right or any(ord(character) <= 32 for character in url):
        raise RemoteError("a router pointed to another host than itself")


def _xml(data: bytes) -> ElementTree.Element:
    if b"<!" in data.replace(b"<!--", b""):
        raise RemoteError("a document type in the router's answer")  # entities could blow it up
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise RemoteError(f"broken XML in the router's answer: {error}") from None
