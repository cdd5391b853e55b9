"""All accounts of a daemon: loaded at start, added, removed, ordered; what the D-Bus methods about accounts call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping

from jamid.accounts.account import Account, State
from jamid.accounts.account_files import AccountFiles
from jamid.accounts.config_file import StoredConfig, parse_sip_account, render_sip_account
from jamid.accounts.details import SIP, TABLES, AccountDetails
from jamid.accounts.environment import Environment
from jamid.accounts.events import AccountLoaded, AccountRemoved
from jamid.accounts.jami import JamiAccount
from jamid.accounts.linking_states import LinkEnded
from jamid.accounts.origin import Origin, create_identity
from jamid.accounts.sip_account import SipAccount
from jamid.core import limits
from jamid.core.errors import JamidError, LocalError, RemoteError
from jamid.core.identifiers import is_local_account_id, new_account_id
from jamid.core.signals import AccountDetailsChanged, AccountProfileReceived, AccountsChanged, MigrationEnded
from jamid.core.tasks import Tasks, in_thread

_log = logging.getLogger(__name__)


class Accounts:
    """The accounts of one daemon, by local account id."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self._accounts: dict[str, Account] = {}
        self._tasks = Tasks("accounts")
        self._sip_saving = asyncio.Lock()

    # -- finding --

    def get(self, account_id: str) -> Account | None:
        """The account with this id, None for an unknown one."""
        return self._accounts.get(account_id)

    def jami(self, account_id: str) -> JamiAccount | None:
        """The Jami account with this id, None for an unknown or a SIP one."""
        account = self._accounts.get(account_id)
        return account if isinstance(account, JamiAccount) else None

    def sip(self, account_id: str) -> SipAccount | None:
        """The SIP account with this id, None for an unknown or a Jami one."""
        account = self._accounts.get(account_id)
        return account if isinstance(account, SipAccount) else None

    def __iter__(self) -> Iterator[Account]:
        return iter(tuple(self._accounts.values()))

    def ids(self) -> list[str]:
        """All ids in the user's order, those it does not name at the end."""
        ordered = [account_id for account_id in dict.fromkeys(self.environment.settings.order) if account_id in self._accounts]
        return ordered + [account_id for account_id in self._accounts if account_id not in ordered]

    # -- the daemon's life --

    async def load(self) -> None:
        """Reads every account from disk; afterwards all of them can be asked, none is online yet."""
        for account_id in await in_thread(self._account_directories):
            config = await in_thread(AccountFiles(self.environment.paths, account_id).read_config)
            if config is None:
                continue
            account = JamiAccount(account_id, config, self.environment)
            self._accounts[account_id] = account
            if not await in_thread(account.load_files):
                account.state = State.INITIALIZING
        for node in self.environment.settings.maps("accounts"):
            try:
                account_id, config = parse_sip_account(node)
            except RemoteError as error:
                _log.error("a SIP account is not loaded: %s", error)
                continue
            self._accounts[account_id] = self._sip_account(account_id, config)

    async def start(self) -> None:
        """Tells of the loaded accounts and registers those that are enabled."""
        self.environment.events.publish(AccountsChanged())
        await asyncio.gather(*(self._start(account) for account in self))

    async def _start(self, account: Account) -> None:
        if isinstance(account, JamiAccount) and account.identity is None:
            self._tasks.spawn(self._restore(account), "restore")
            return
        if isinstance(account, JamiAccount):
            await account.loaded()
            account.contacts.publish_all()
        else:
            self.environment.events.publish(AccountLoaded(account.id, account))
        self._tasks.spawn(account.register(), "register")

    async def close(self) -> None:
        """Takes every account offline and ends."""
        await self._tasks.close()
        await asyncio.gather(*(account.close() for account in self), return_exceptions=True)
        await self.environment.dht_pool.close()
        await self.environment.names.close()

    def connectivity_changed(self) -> None:
        """The machine's network changed: every account looks after its connections."""
        for account in self:
            if isinstance(account, JamiAccount) and account.session is not None:
                account.session.connectivity_changed()
            elif isinstance(account, SipAccount):
                self._tasks.spawn(account.register(), "register")

    async def register_all(self) -> None:
        """Registers every account anew."""
        for account in self:
            self._tasks.spawn(account.register(), "register")

    # -- adding and removing --

    async def add(self, details: Mapping[str, str], account_id: str = "") -> str:
        """Adds an account, whose keys are then made or imported in the background; "" for an unknown type."""
        account_type = details.get("Account.type") or SIP
        if account_type not in TABLES or len(self._accounts) >= limits.ACCOUNTS or (account_id and account_id in self._accounts):
            return ""
        if account_id and not is_local_account_id(account_id):
            return ""
        account_id = account_id or new_account_id()
        config = StoredConfig(AccountDetails(account_type, details))
        if account_type == SIP:
            await self._add_sip(account_id, config)
            return account_id
        config.details.set("Account.username", "")
        for key in ("TLS.certificateFile", "TLS.privateKeyFile", "TLS.certificateListFile"):
            config.details.set(key, "")
        account = JamiAccount(account_id, config, self.environment)
        await in_thread(account.files.create)
        origin = Origin.from_details(details)
        if origin.is_new and not origin.password:
            await account.save()  # so that it survives a kill before its keys are made
        self._accounts[account_id] = account
        self._append_to_order(account_id)
        account.set_state(State.INITIALIZING)
        self.environment.events.publish(AccountsChanged())
        account.tasks.spawn(self._create(account, origin), "create")
        await self.environment.settings.save()
        return account_id

    async def remove(self, account_id: str) -> None:
        """Takes an account offline and deletes its files; an unknown id changes nothing but is answered by accountsChanged too."""
        account = self._accounts.pop(account_id, None)
        if account is not None:
            if isinstance(account, JamiAccount) and account.session is not None:
                account.set_state(State.UNREGISTERED)
            self.environment.events.publish(AccountRemoved(account_id))
            remaining = [entry for entry in self.environment.settings.order if entry != account_id]
            self.environment.settings.set("preferences.order", _joined(remaining))
        self.environment.events.publish(AccountsChanged())
        if account is None:
            return
        self._tasks.spawn(self._delete(account), "delete")
        await self._save_sip_accounts()

    async def set_order(self, text: str) -> None:
        """Stores the order `id/id/`, whatever it is."""
        self.environment.settings.set("preferences.order", text)
        self.environment.events.publish(AccountsChanged())
        await self.environment.settings.save()

    # -- changing --

    async def set_details(self, account_id: str, details: Mapping[str, str]) -> None:
        """Takes over details of an account; it registers anew when anything changed."""
        account = self._accounts.get(account_id)
        if account is None:
            return
        if isinstance(account, JamiAccount) and account.state is State.ERROR_NEED_MIGRATION:
            if "Account.archivePassword" in details:
                account.tasks.spawn(self._migrate(account, Origin.from_details(details)), "migrate")
            return
        if isinstance(account, SipAccount):
            if await account.apply_details(details):
                await account.unregister()
                self.environment.events.publish(AccountDetailsChanged(account_id, dict(details)))
                await account.register()
            return
        await account.apply_details(details)

    async def set_active(self, account_id: str, active: bool) -> None:
        """Switches an account's network side until the next start."""
        account = self._accounts.get(account_id)
        if account is None or account.active == active:
            return
        account.active = active
        account.publish_volatile()
        await (account.register() if active else account.unregister())

    async def send_register(self, account_id: str, enable: bool) -> None:
        """Enables or disables an account for good."""
        account = self._accounts.get(account_id)
        if account is None:
            return
        if account.details.set("Account.enable", enable):
            await account.save()
        if enable:
            await account.register()
        else:
            await account.unregister()

    # -- details --

    def _account_directories(self) -> list[str]:
        try:
            entries = sorted(entry.name for entry in self.environment.paths.data.iterdir())
        except OSError:
            return []
        return [
            name for name in entries[: limits.ACCOUNTS * 8]
            if is_local_account_id(name) and (self.environment.paths.account_data(name) / "config.yml").exists()
        ]  # fmt: skip

    async def _create(self, account: JamiAccount, origin: Origin) -> None:
        try:
            await create_identity(account, origin)
        except LinkEnded as ended:
            _log.info("[account=%s] %s", account.id, ended)
            return
        except JamidError as error:
            _log.error("[account=%s] the account cannot be made: %s", account.id, error)
            if self._accounts.get(account.id) is account:
                account.set_state(State.ERROR_GENERIC)
                await self.remove(account.id)
            return
        if self._accounts.get(account.id) is not account:
            return
        if account.display_name or origin.photo:
            self.environment.events.publish(AccountProfileReceived(account.id, account.display_name, origin.photo))
        account.state = State.INITIALIZING
        account.set_state(State.UNREGISTERED)
        await account.register()
        if origin.link:
            account.links.tell_done()

    async def _restore(self, account: JamiAccount) -> None:
        """An account on disk without a usable device: one is certified when its archive opens without a password, or made anew when
        the daemon ended before its keys were made."""
        never_made = not account.details["Account.username"] and not account.config.receipt
        try:
            await create_identity(account, Origin() if never_made else Origin(restore=True))
        except (RemoteError, LocalError) as error:
            _log.error("[account=%s] this device cannot be restored: %s", account.id, error)
            account.set_state(State.ERROR_NEED_MIGRATION)
            return
        account.set_state(State.UNREGISTERED)
        await account.register()

    async def _migrate(self, account: JamiAccount, origin: Origin) -> None:
        """Renews the certificates of an account with the password that a frontend asked its user for."""
        try:
            await create_identity(account, Origin(password=origin.password, scheme=origin.scheme, restore=True))
        except (RemoteError, LocalError) as error:
            _log.warning("[account=%s] the account cannot be migrated: %s", account.id, error)
            self.environment.events.publish(MigrationEnded(account.id, "INVALID"))
            return
        self.environment.events.publish(MigrationEnded(account.id, "SUCCESS"))
        account.set_state(State.UNREGISTERED)
        await account.register()

    async def _delete(self, account: Account) -> None:
        try:
            await account.close()
        except Exception:
            _log.exception("[account=%s] ending the account", account.id)
        if isinstance(account, JamiAccount):
            await in_thread(account.files.remove)

    async def _add_sip(self, account_id: str, config: StoredConfig) -> None:
        account = self._sip_account(account_id, config)
        self._accounts[account_id] = account
        self._append_to_order(account_id)
        await self._save_sip_accounts()
        account.state = State.INITIALIZING
        account.set_state(State.UNREGISTERED)
        self.environment.events.publish(AccountLoaded(account_id, account))
        self.environment.events.publish(AccountsChanged())
        self._tasks.spawn(account.register(), "register")

    def _sip_account(self, account_id: str, config: StoredConfig) -> SipAccount:
        return SipAccount(account_id, config, self.environment.events, self.environment.seams, self._save_sip_accounts)

    async def _save_sip_accounts(self) -> None:
        async with self._sip_saving:
            nodes = [render_sip_account(account.id, account.config) for account in self if isinstance(account, SipAccount)]
            self.environment.settings.set("accounts", nodes)
            await self.environment.settings.save()

    def _append_to_order(self, account_id: str) -> None:
        order = [entry for entry in self.environment.settings.order if entry != account_id]
        self.environment.settings.set("preferences.order", _joined([*order, account_id]))


def _joined(ids: list[str]) -> str:
    return "".join(f"{account_id}/" for account_id in ids)
