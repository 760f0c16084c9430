"""Users and tokens as lists: those of the configuration, which take precedence, and those in the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from proxy.config.limit import written
from proxy.pipeline.identity.user_lookup import group_of
from proxy.storage.reports import DirectoryRows
from proxy.storage.sqlite.reports import open_reports

if TYPE_CHECKING:
    from proxy.config.schema import Settings
    from proxy.config.user import User

Person = dict[str, Any]


def all_users(settings: "Settings") -> list[Person]:
    """List name, group, disabled, tokens (how many), created_ms, source (config or database), made_by, by name.

    settings holds what a user has of their own: limits, models, max_tokens, as in the configuration.

    A user in both counts as the configuration's; in_database tells that tokens of the database work too. made_by is the
    token that named an end user first; their group is that of end_users where they were put into none.
    """
    stored = database_rows(settings)
    in_database, tokens = stored.users, stored.tokens
    rows = {user["name"]: user for user in in_database}
    found: list[Person] = [
        {
            "name": name,
            "group": user.group,
            "disabled": user.disabled or (name in rows and rows[name]["disabled"]),
            "settings": _own(user),
            "expires_ms": _ms(user.expires_at),
            "created_ms": None,
            "made_by": None,
            "source": "config",
            "in_database": name in rows,
        }
        for name, user in settings.users.items()
    ]
    found += [
        {
            **row,
            "group": group_of(settings, row),
            "expires_ms": None,
            "in_database": True,
        }
        for name, row in rows.items()
        if name not in settings.users
    ]
    counts = _counts([*config_tokens(settings), *tokens])
    return sorted(({**user, "tokens": counts.get(user["name"], 0)} for user in found), key=lambda user: user["name"])


def all_tokens(settings: "Settings", user: str | None = None) -> list[Person]:
    """List id, user, name, hint (the last four characters), expires_ms, disabled, trusted, source; never a token."""
    rows = [
        row
        for row in [*config_tokens(settings), *database_rows(settings).tokens]
        if user is None or row["user"] == user
    ]
    return sorted(rows, key=lambda row: (row["user"], row["source"], row["created_ms"] or 0, row["id"]))


def config_tokens(settings: "Settings") -> list[Person]:
    return [
        {
            "id": token.label,
            "user": name,
            "name": token.label,
            "hint": None,
            "created_ms": None,
            "expires_ms": _ms(token.expires_at),
            "disabled": token.disabled,
            "trusted": token.trusted,
            "source": "config",
        }
        for name, user in settings.users.items()
        for token in user.all_tokens
    ]


def _own(user: "User") -> dict[str, Any]:
    """Return what a user of the configuration has of their own, in its words."""
    limits: dict[str, list[str]] = {}
    for limit in user.limits.all:
        limits.setdefault(limit.kind, []).append(written(limit))
    own: dict[str, Any] = {"limits": limits} if limits else {}
    if user.models is not None:
        own["models"] = list(user.models)
    if user.max_tokens is not None:
        own["max_tokens"] = user.max_tokens
    return own


def database_rows(settings: "Settings") -> DirectoryRows:
    """Read what the database holds of users, tokens and settings, nothing where there is no ledger yet."""
    if not settings.database.exists() or settings.database.stat().st_size == 0:
        return DirectoryRows([], [], {})
    return open_reports(settings.database).directory()


def _counts(tokens: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for token in tokens:
        counts[token["user"]] = counts.get(token["user"], 0) + 1
    return counts


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
