"""Limits one by one, wherever they hold: how each is named, added, changed and removed.

Those of a user and of a group stand in the settings of these; those of everyone together, of each user, and of a use
case have rows of their own. Fails closed: a mistake raises UserError and changes nothing. Rows are plain JSON-ready
dictionaries: scope, name, and settings, limits as in the configuration.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from msgspec import Struct

from proxy.config.diagnostic import SettingError
from proxy.config.limit import Limit, as_setting, parse_limit, written
from proxy.config.schema import Limits
from proxy.core.limit_kinds import BY_NAME
from proxy.storage.audit import Actor
from proxy.storage.users import MissingError, UserError, check_name

NAMED: Final = ("user", "group", "use_case")
SCOPES: Final = ("all", "each_user", *NAMED)
_WHOSE: Final = {"all": "everyone together", "each_user": "each user", "each_end_user": "each end user"}


class LimitScope(NamedTuple):
    """Whom a limit holds: what is a word of SCOPES, name that of a user, group or use case, else empty.

    Those of each_end_user are the file's alone.
    """

    what: str
    name: str = ""

    @property
    def text(self) -> str:
        """Return it as lists have it: all, user:bo."""
        return f"{self.what}:{self.name}" if self.name else self.what

    @property
    def words(self) -> str:
        """Return it for a sentence."""
        return _WHOSE.get(self.what) or f"{self.what.replace('_', ' ')} {self.name}"


class LimitPlace(Struct, frozen=True):
    """One limit on one scope: there is never a second of the same kind, window and mode."""

    scope: LimitScope
    place: tuple[str, ...]

    @property
    def id(self) -> str:
        """Return its name, which stays while its amount changes."""
        parts = "\0".join((*self.scope, *self.place))
        return "lim_" + hashlib.sha256(parts.encode()).hexdigest()[:16]


class LimitReader(Protocol):
    """What is asked of limits that have rows of their own."""

    def list_limits(self) -> list[dict[str, Any]]:
        """Return all rows."""
        ...


class LimitStore(LimitReader, Protocol):
    """What changes them; who did it, and when, goes to the audit trail. What was spent stays."""

    def find_limits(self, scope: LimitScope) -> dict[str, Any]:
        """Return the limits of a scope, as the configuration writes them; empty where there is none."""
        ...

    def put_limits(self, now_ms: int, actor: Actor, scope: LimitScope, settings: Mapping[str, Any]) -> None:
        """Put limits in the place of all those that a scope has."""
        ...


def read_scope(what: object, name: object) -> LimitScope:
    """Return a scope; raises UserError."""
    if what not in SCOPES:
        raise UserError(f"scope: one of {', '.join(SCOPES)} is needed.")
    if what in NAMED:
        if not isinstance(name, str) or not name:
            raise UserError(f"name: that of a {str(what).replace('_', ' ')} is needed.")
        check_name(name, str(what).replace("_", " "))
        return LimitScope(str(what), name)
    if name:
        raise UserError(f"name: limits of {_WHOSE[str(what)]} have none.")
    return LimitScope(str(what))


def read_limit(kind: object, value: object) -> Limit:
    """Return a limit in any form of the configuration; raises UserError that says how to write it."""
    if not isinstance(kind, str) or kind not in BY_NAME:
        raise UserError(f"kind: one of {', '.join(BY_NAME)} is needed.")
    try:
        return parse_limit(kind, value)
    except SettingError as error:
        raise UserError(f"{kind}: {str(error).rstrip('.')}.") from None


def limits_of(settings: Mapping[str, Any]) -> Limits:
    """Return the limits of a row's settings."""
    limits: Limits = Limits.read(settings)
    return limits


def as_settings(limits: Iterable[Limit]) -> dict[str, Any]:
    """Return limits by kind, as the configuration writes them."""
    found: dict[str, Any] = {}
    for limit in limits:
        found.setdefault(limit.kind, []).append(as_setting(limit))
    return found


def with_limit(scope: LimitScope, limits: Limits, limit: Limit) -> dict[str, Any]:
    """Return settings with one more limit; raises UserError where it contradicts another."""
    twin = next((other for other in limits.all if other.place == limit.place), None)
    if twin is not None:
        raise limit_exists(scope, twin)
    return as_settings((*limits.all, limit))


def without_limit(place: LimitPlace, limits: Limits) -> dict[str, Any]:
    """Return settings without a limit; raises MissingError."""
    rest = [limit for limit in limits.all if limit.place != place.place]
    if len(rest) == len(limits.all):
        raise no_limit(place.id)
    return as_settings(rest)


def with_other_limit(place: LimitPlace, limits: Limits, limit: Limit) -> dict[str, Any]:
    """Return settings with another limit in the place of one."""
    return with_limit(place.scope, limits_of(without_limit(place, limits)), limit)


def limit_exists(scope: LimitScope, twin: Limit) -> UserError:
    """Return the error for a limit that contradicts another of the same scope."""
    window = f" over {twin.window}" if twin.window else ""
    return UserError(
        f"For {scope.words} there is a {twin.mode} limit on {twin.kind}{window} already: {written(twin)}. Change it"
        " with tollkeeper limits set, or remove it first."
    )


def no_limit(id_: str) -> MissingError:
    """Return the error for a limit that is not in the ledger."""
    return MissingError(f"There is no limit {id_!r} in the database. See: tollkeeper limits list")
