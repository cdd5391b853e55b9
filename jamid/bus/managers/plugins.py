"""Plugins, as a daemon answers that has none installed and cannot load any yet (protocol: media, section 12)."""

from __future__ import annotations

import asyncio
import os
import platform

from jamid.core.errors import NotImplementedYetError
from jamid.core.settings import Settings

_MULTIARCH = {"x86_64": "x86_64-linux-gnu", "aarch64": "arm64-v8a", "i686": "x86-linux-gnu", "armv7l": "armeabi-v7a"}


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
        if await asyncio.to_thread(os.path.isfile, archive):
            raise NotImplementedYetError(f"{archive} is not installed: this daemon cannot install plugins yet")
        return 0

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
