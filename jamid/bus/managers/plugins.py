"""Plugins, as a daemon answers that has none installed and cannot load any (protocol: media, section 12)."""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import Final

from jamid.core.settings import Settings
from jamid.core.tasks import in_thread

_log = logging.getLogger(__name__)
_NOT_INSTALLED: Final = -1
_NO_PLUGIN: Final = 500
_MULTIARCH = {"x86_64": "x86_64-linux-gnu", "aarch64": "arm64-v8a", "i686": "x86-linux-gnu", "armv7l": "armeabi-v7a"}
_ZIP: Final = b"PK\x03\x04"


class PluginsPart:
    """The plugin interface without plugins."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def getPluginsEnabled(self) -> bool:
        return self._settings.flag("plugins.pluginsEnabled")

    async def setPluginsEnabled(self, enabled: bool) -> None:
        await self._settings.change({"plugins.pluginsEnabled": enabled})

    def getPlatformInfo(self) -> dict[str, str]:
        machine = platform.machine()
        return {"os": _MULTIARCH.get(machine, machine)}

    # -- archives --

    async def installPlugin(self, archive: str, force: bool) -> int:
        """Fails with the real daemons' codes: 500 for what is no archive, -1 for the rest; a file that is not there is answered with 0."""
        kind = await in_thread(_kind_of_file, Path(archive))
        if kind is None:
            return 0
        _log.warning("%s is not installed: this daemon has no plugins", archive)
        return _NOT_INSTALLED if kind == _ZIP else _NO_PLUGIN

    def uninstallPlugin(self, root: str) -> int:
        return -1

    def getInstalledPlugins(self) -> list[str]:
        return []

    def getLoadedPlugins(self) -> list[str]:
        return []

    def loadPlugin(self, root: str) -> bool:
        return False

    def unloadPlugin(self, root: str) -> bool:
        return False

    def getPluginDetails(self, root: str) -> dict[str, str]:
        return {}

    # -- preferences --

    def getPluginPreferences(self, root: str, account_id: str) -> list[dict[str, str]]:
        return []

    def getPluginPreferencesValues(self, root: str, account_id: str) -> dict[str, str]:
        return {}

    def setPluginPreference(self, root: str, account_id: str, key: str, value: str) -> bool:
        return True

    def resetPluginPreferencesValues(self, root: str, account_id: str) -> bool:
        return True

    # -- handlers --

    def getCallMediaHandlers(self) -> list[str]:
        return []

    def getChatHandlers(self) -> list[str]:
        return []

    def toggleCallMediaHandler(self, handler: str, call_id: str, enabled: bool) -> None:
        """Handlers nobody knows are ignored, and there are no others."""

    def toggleChatHandler(self, handler: str, account_id: str, peer: str, enabled: bool) -> None:
        """Handlers nobody knows are ignored, and there are no others."""

    def getCallMediaHandlerDetails(self, handler: str) -> dict[str, str]:
        return {}

    def getCallMediaHandlerStatus(self, call_id: str) -> list[str]:
        return []

    def getChatHandlerDetails(self, handler: str) -> dict[str, str]:
        return {}

    def getChatHandlerStatus(self, account_id: str, peer: str) -> list[str]:
        return []

    # -- web views --

    def sendWebViewMessage(self, plugin: str, web_view: str, message: str, payload: str) -> None:
        """Web views nobody knows are ignored, and there are no others."""

    def sendWebViewAttach(self, plugin: str, account_id: str, web_view: str, action: str) -> str:
        return ""

    def sendWebViewDetach(self, plugin: str, web_view: str) -> None:
        """Web views nobody knows are ignored, and there are no others."""


def _kind_of_file(path: Path) -> bytes | None:
    """The first four bytes of a regular file; None for anything else."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(4)
    except OSError:
        return None
