"""Account details: the keys of both generations of the D-Bus API, their defaults and where they lie in config files.

Every value is text; booleans are `true` or `false`, anything but `true` is false (protocol: identity, sections 5.3 and 6).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

JAMI: Final = "RING"
SIP: Final = "SIP"


class Kind(enum.Enum):
    """How a detail is written in YAML and what it may hold."""

    TEXT = enum.auto()
    BOOLEAN = enum.auto()
    NUMBER = enum.auto()


@dataclass(frozen=True, slots=True)
class Detail:
    """One configuration key."""

    key: str
    """its name on D-Bus"""
    default: str
    stored: str = ""
    """its name in config.yml, dots separating nested maps; empty when it is not stored"""
    kind: Kind = Kind.TEXT
    always: bool = False
    """whether it is written even when it holds the default, because the generations disagree about that"""
    also_stored: str = ""
    """a second name in config.yml, which the other generation reads"""


def _flag(key: str, default: bool, stored: str = "", *, always: bool = False, also: str = "") -> Detail:
    return Detail(key, "true" if default else "false", stored, Kind.BOOLEAN, always, also)


def _number(key: str, default: int, stored: str = "", *, also: str = "") -> Detail:
    return Detail(key, str(default), stored, Kind.NUMBER, also_stored=also)


_COMMON: Final = (
    Detail("Account.alias", "", "alias", always=True),
    Detail("Account.hostname", "", "hostname"),
    Detail("Account.username", "", "username"),
    Detail("Account.mailbox", "", "mailbox"),
    _flag("Account.enable", True, "enable"),
    _flag("Account.autoAnswer", False, "autoAnswer"),
    _flag("Account.sendReadReceipt", True, "sendReadReceipt"),
    _flag("Account.sendComposing", True, "sendComposing"),
    _flag("Account.rendezVous", False, "rendezVous"),
    _flag("Account.denySecondCall", False, "denySecondCall"),
    _number("Account.activeCallLimit", -1, "activeCallLimit"),
    _flag("Account.ringtoneEnabled", True, "ringtoneEnabled"),
    Detail("Account.ringtonePath", "default.opus", "ringtonePath"),
    Detail("Account.useragent", "", "useragent"),
    Detail("Account.displayName", "", "displayName"),
    _flag("Account.upnpEnabled", True, "upnpEnabled"),
    Detail("Account.defaultModerators", "", "defaultModerators"),
    _flag("Account.localModeratorsEnabled", True, "localModeratorsEnabled"),
    _flag("Account.allModeratorEnabled", True, "allModeratorsEnabled"),
    Detail("Account.uiCustomization", "", "uiCustomization"),
    _flag("Account.videoEnabled", True, "videoEnabled"),
    Detail("Account.dtmfType", "overrtp", "dtmfType"),
    Detail("Account.localInterface", "default", "interface"),
    Detail("Account.publishedAddress", "", "publishAddr"),
    _flag("Account.publishedSameAsLocal", True, "sameasLocal"),
    _number("Account.audioPortMin", 16384, "audioPortMin"),
    _number("Account.audioPortMax", 32766, "audioPortMax"),
    _number("Account.videoPortMin", 49152, "videoPortMin"),
    _number("Account.videoPortMax", 65534, "videoPortMax"),
    _flag("TURN.enable", False, "turnEnabled"),
    Detail("TURN.server", "", "turnServer"),
    Detail("TURN.username", "", "turnServerUserName"),
    Detail("TURN.password", "", "turnServerPassword"),
    Detail("TURN.realm", "", "turnServerRealm"),
    Detail("TLS.certificateListFile", "", "tls.calist"),
    Detail("TLS.certificateFile", "", "tls.certificate"),
    Detail("TLS.password", "", "tls.password"),
    Detail("TLS.privateKeyFile", "", "tls.privateKey"),
)

_JAMI_ONLY: Final = (
    Detail("Account.type", JAMI),
    Detail("Account.hostname", "bootstrap.jami.net", "hostname"),
    _flag("Account.archiveHasPassword", True, "Account.archiveHasPassword"),
    Detail("Account.deviceName", "", "Account.deviceName"),
    Detail("Account.managerUri", "", "Account.managerUri"),
    Detail("Account.managerUsername", "", "Account.managerUsername"),
    _flag("Account.peerDiscovery", False, "Account.peerDiscovery"),
    _flag("Account.accountDiscovery", False, "Account.accountDiscovery"),
    _flag("Account.accountPublish", False, "Account.accountPublish"),
    _flag("Account.presenceSubscribeSupported", True),
    _flag("Account.proxyEnabled", False, "proxyEnabled"),
    _flag("Account.proxyListEnabled", True, "Account.proxyListEnabled"),
    Detail("Account.proxyServer", "dhtproxy.jami.net:[80-95]", "proxyServer"),
    Detail("Account.dhtProxyListUrl", "https://config.jami.net/proxyList", "Account.dhtProxyListUrl"),
    _flag("Account.dhtProxyServerEnabled", False, "Account.dhtProxyServerEnabled"),
    _number("Account.dhtProxyServerPort", 42443, "Account.dhtProxyServerPort"),
    _flag("Account.allowCertFromHistory", True, "allowPeersFromHistory"),
    _flag("Account.allowCertFromContact", True, "allowPeersFromContact"),
    _flag("Account.allowCertFromTrusted", True, "allowPeersFromTrusted"),
    _flag("DHT.AllowFromTrusted", True, "DHT.AllowFromTrusted"),
    _flag("DHT.PublicInCalls", False, "dhtPublicInCalls", always=True, also="DHT.PublicInCalls"),
    _number("DHT.port", 0, "dhtPort"),
    Detail("RingNS.uri", "", "RingNS.uri"),
    _flag("TURN.enable", True, "turnEnabled"),
    Detail("TURN.server", "turn.jami.net", "turnServer"),
    Detail("TURN.username", "ring", "turnServerUserName"),
    Detail("TURN.password", "ring", "turnServerPassword"),
    Detail("TURN.realm", "ring", "turnServerRealm"),
)

_SIP_ONLY: Final = (
    Detail("Account.type", SIP),
    Detail("Account.password", ""),
    _number("Account.localPort", 5060, "port"),
    _number("Account.publishedPort", 5060, "publishPort"),
    Detail("Account.bindAddress", "", "bindAddress"),
    Detail("Account.routeset", "", "serviceRoute"),
    _flag("Account.allowIPAutoRewrite", True, "allowIPAutoRewrite"),
    _flag("Account.keepAliveEnabled", True, "keepAlive"),
    _flag("Account.presenceEnabled", False, "presenceModuleEnabled"),
    _number("Account.registrationExpire", 3600, "Account.registrationExpire"),
    _flag("STUN.enable", False, "stunEnabled"),
    Detail("STUN.server", "", "stunServer"),
    Detail("SRTP.keyExchange", "sdes", "srtp.keyExchange"),
    _flag("SRTP.rtpFallback", False, "srtp.rtpFallback"),
    _flag("TLS.enable", False, "tls.enable"),
    _number("TLS.listenerPort", 5061, "tls.tlsPort"),
    _flag("TLS.verifyClient", True, "tls.verifyClient"),
    _flag("TLS.verifyServer", True, "tls.verifyServer"),
    _flag("TLS.requireClientCertificate", True, "tls.requireCertif"),
    _flag("TLS.disableSecureDlgCheck", True, "tls.disableSecureDlgCheck"),
    _number("TLS.negotiationTimeoutSec", 2, "tls.timeout"),
    Detail("TLS.ciphers", "", "tls.ciphers"),
    Detail("TLS.method", "", "tls.method"),
    Detail("TLS.serverName", "", "tls.server"),
)


def _table(*groups: tuple[Detail, ...]) -> dict[str, Detail]:
    return {detail.key: detail for group in groups for detail in group}


TABLES: Final[Mapping[str, Mapping[str, Detail]]] = {JAMI: _table(_COMMON, _JAMI_ONLY), SIP: _table(_COMMON, _SIP_ONLY)}
"""Account type -> D-Bus key -> detail."""

ALIASES: Final[Mapping[str, str]] = {
    "Account.dhtPort": "DHT.port",
    "Account.allModeratorsEnabled": "Account.allModeratorEnabled",
}
"""Names under which the other generation gives and expects the same detail."""

WRITE_ONLY: Final = (
    "Account.archivePassword",
    "Account.archivePasswordScheme",
    "Account.archivePIN",
    "Account.archivePath",
    "Account.archiveURL",
)
"""Given to addAccount, acted upon, never stored among the details and never told."""

PUSH_KEYS: Final[Mapping[str, str]] = {
    "Account.proxyPushToken": "proxyPushToken",
    "Account.proxyPushPlatform": "proxyPushPlatform",
    "Account.proxyPushiOSTopic": "proxyPushiOSTopic",
}
"""Accepted and stored, never told: D-Bus key -> name in config.yml."""

_FIXED: Final = frozenset({"Account.type", "Account.presenceSubscribeSupported"})
_HIDDEN: Final[Mapping[str, frozenset[str]]] = {JAMI: frozenset(), SIP: frozenset({"SRTP.rtpFallback"})}


class AccountDetails(Mapping[str, str]):
    """The configuration of one account, by D-Bus key."""

    def __init__(self, account_type: str, values: Mapping[str, str] | None = None) -> None:
        self.table = TABLES[account_type]
        self._values = {key: detail.default for key, detail in self.table.items()}
        self.push: dict[str, str] = {}
        if values:
            self.update(values)

    def __getitem__(self, key: str) -> str:
        return self._values[ALIASES.get(key, key)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def type(self) -> str:
        """RING or SIP."""
        return self._values["Account.type"]

    def flag(self, key: str) -> bool:
        """The value of a boolean detail."""
        return self[key] == "true"

    def number(self, key: str) -> int:
        """The value of a numeric detail."""
        return int(self[key])

    def set(self, key: str, value: str | bool | int) -> bool:
        """Sets one detail, ignoring unknown keys and unreadable numbers; returns whether it changed."""
        if key in PUSH_KEYS:
            changed = self.push.get(key, "") != str(value)
            self.push[key] = str(value)
            return changed
        key = ALIASES.get(key, key)
        detail = self.table.get(key)
        if detail is None or key in _FIXED:
            return False
        text = _normalised(detail, value)
        if text is None or self._values[key] == text:
            return False
        self._values[key] = text
        return True

    def update(self, values: Mapping[str, str]) -> bool:
        """Takes over what a caller gave, missing keys keeping their value; returns whether anything changed.

        Of two names of one detail the one that differs from the present value counts.
        """
        merged = dict(values)
        for alias, key in ALIASES.items():
            if alias in merged:
                given = merged.pop(alias)
                if merged.get(key, self._values.get(key)) == self._values.get(key):
                    merged[key] = given
        changed = False
        for key, value in merged.items():
            changed |= self.set(key, value)
        return changed

    def as_given(self) -> dict[str, str]:
        """What getAccountDetails answers: the union of both generations' keys."""
        hidden = _HIDDEN[self.type]
        told = {key: value for key, value in self._values.items() if key not in hidden}
        told |= {alias: told[key] for alias, key in ALIASES.items() if key in told}
        return told


def template(account_type: str) -> dict[str, str]:
    """The defaults of an account type as on D-Bus; empty for an unknown type."""
    return AccountDetails(account_type).as_given() if account_type in TABLES else {}


def _normalised(detail: Detail, value: str | bool | int) -> str | None:
    if detail.kind is Kind.BOOLEAN:
        return "true" if value is True or value == "true" else "false"
    text = str(value).replace("\0", "")
    if detail.kind is Kind.NUMBER:
        try:
            return str(int(text))
        except ValueError:
            return None
    if detail.key == "Account.managerUri" and text and not text.startswith("http"):
        return f"https://{text}"
    return text
