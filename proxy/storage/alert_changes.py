"""Add, change and remove a destination: its row and what is sealed for it, in one transaction."""

from collections.abc import Mapping
from typing import Any, Protocol

from proxy.core.secret import Secret
from proxy.policy.sealing.place import Place
from proxy.policy.sealing.record import UnsealError
from proxy.storage.alerts import DESTINATION_SECRETS, AlertStore, check_alert_name, check_destination, no_destination
from proxy.storage.audit import Actor
from proxy.storage.sealed import SealedStore
from proxy.storage.stored_settings import patched
from proxy.storage.users import UserError

TABLE = "alert_destinations"  # part of each ciphertext: never renamed


class AlertHolders(Protocol):
    """Everything that a destination stands in."""

    @property
    def alerts(self) -> AlertStore: ...

    @property
    def sealed(self) -> SealedStore: ...


def add_destination(
    holders: AlertHolders, now_ms: int, actor: Actor, name: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Add a destination; fields as in the configuration, secrets among them. Raises UserError."""
    check_alert_name(name, "destination")
    if holders.alerts.find_destination(name) is not None:
        raise UserError(
            f"There is a destination {name!r} already. Change it: tollkeeper alerts destinations set {name}"
        )
    return _put(holders, now_ms, actor, "alert_destinations.add", name, fields, {})


def set_destination(
    holders: AlertHolders, now_ms: int, actor: Actor, name: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Change what is given of a destination; a field that is None is removed. Raises UserError."""
    row = holders.alerts.find_destination(name)
    if row is None:
        raise no_destination(name)
    known = {column: _opened(holders, name, column) for column in row["secrets"] if column not in fields}
    settings = patched(row["settings"], {key: value for key, value in fields.items() if key not in DESTINATION_SECRETS})
    secrets = {key: fields[key] for key in DESTINATION_SECRETS if fields.get(key) is not None}
    return _put(holders, now_ms, actor, "alert_destinations.set", name, {**settings, **secrets}, known)


def remove_destination(holders: AlertHolders, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
    """Remove a destination and what is sealed for it; raises MissingError."""
    row = holders.alerts.find_destination(name)
    if row is None:
        raise no_destination(name)
    users = [rule["name"] for rule in holders.alerts.list_rules() if name in _to(rule["settings"])]
    if users:
        raise UserError(f"Destination {name!r} is used by the rules {', '.join(users)}. Change or remove them first.")
    holders.sealed.remove(TABLE, name)
    holders.alerts.remove_destination(now_ms, actor, name)
    return row


def _opened(holders: AlertHolders, name: str, column: str) -> Secret:
    try:
        return holders.sealed.open(Place(TABLE, name, column))
    except UnsealError as error:
        raise UserError(f"{column} of {name} cannot be opened: {error}. Give it anew.") from None


def _to(settings: Mapping[str, Any]) -> list[str]:
    to = settings.get("to", [])
    return to if isinstance(to, list) else [to]


def _put(
    holders: AlertHolders,
    now_ms: int,
    actor: Actor,
    action: str,
    name: str,
    fields: Mapping[str, Any],
    known: Mapping[str, Secret],
) -> dict[str, Any]:
    """Check the whole, then write it; known: secrets that stay as they are."""
    if fields.get("kind") == "command":
        raise UserError(
            "kind: command is for the configuration file alone, under alerts.destinations: who can write it may run"
            " programs here, and an operator from elsewhere may not."
        )
    check_destination({**fields, **known})
    fresh = {column: fields[column] for column in DESTINATION_SECRETS if column in fields}
    holders.sealed.remove(TABLE, name)
    for column, value in {**known, **{column: Secret(text) for column, text in fresh.items()}}.items():
        holders.sealed.put(Place(TABLE, name, column), value)
    settings = {key: value for key, value in fields.items() if key not in DESTINATION_SECRETS}
    sealed = {
        column: holders.sealed.fingerprint(Place(TABLE, name, column)) for column in sorted(known.keys() | fresh.keys())
    }
    return holders.alerts.put_destination(now_ms, actor, action, name, settings, sealed)
