"""Everything that an operator changes, on one connection of the ledger's owner."""

import sqlite3

from proxy.storage.master_keys import MasterKeys
from proxy.storage.sqlite.alerts import SqliteAlerts
from proxy.storage.sqlite.audit_log import SqliteAuditLog
from proxy.storage.sqlite.configurations import SqliteConfigurations
from proxy.storage.sqlite.groups import SqliteGroups
from proxy.storage.sqlite.limits import SqliteLimits
from proxy.storage.sqlite.master_key_store import SqliteMasterKey
from proxy.storage.sqlite.models import SqliteModels
from proxy.storage.sqlite.operators import SqliteOperators
from proxy.storage.sqlite.preferences import SqlitePreferences
from proxy.storage.sqlite.provider_keys import SqliteProviderKeys
from proxy.storage.sqlite.sealed_values import SqliteSealedStore
from proxy.storage.sqlite.sessions import SqliteSessions
from proxy.storage.sqlite.stops import SqliteStops
from proxy.storage.sqlite.users import SqliteUsers


class SqliteStores:
    """The tables of what changes at run time, by noun; each change runs inside the owner's transaction."""

    def __init__(self, connection: sqlite3.Connection, master: MasterKeys) -> None:
        self.users = SqliteUsers(connection)
        self.keys = SqliteProviderKeys(connection)
        self.sealed = SqliteSealedStore(connection, master)
        self.master_key = SqliteMasterKey(connection, master, self.sealed)
        self.groups = SqliteGroups(connection)
        self.limits = SqliteLimits(connection)
        self.operators = SqliteOperators(connection)
        self.configurations = SqliteConfigurations(connection)
        self.sessions = SqliteSessions(connection)
        self.stops = SqliteStops(connection)
        self.audit = SqliteAuditLog(connection)
        self.preferences = SqlitePreferences(connection)
        self.models = SqliteModels(connection)
        self.alerts = SqliteAlerts(connection)
