"""The directory of tokens, from the configuration and from the database; the configuration wins on a clash."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from proxy.config.schema import Settings
from proxy.pipeline.admission.allowance import build_allowance
from proxy.pipeline.identity.authenticate import Directory, Identity, TokenRow
from proxy.pipeline.identity.end_users import UserNaming
from proxy.pipeline.identity.user_lookup import UserLookup, group_of, moment_ms, own_keys, stored_allowance


def build_directory(
    settings: Settings,
    users: Sequence[Mapping[str, Any]],
    tokens: Sequence[Mapping[str, Any]],
    hashes: Mapping[str, str],
) -> Directory:
    """Give the directory. users, tokens and hashes are rows of storage/sqlite/users.py.

    A user of the configuration whose row in the database is disabled is disabled: stopping somebody always works.
    """
    stopped = {user["name"] for user in users if user["disabled"]}
    rows = [*_database_rows(settings, users, tokens, hashes), *_config_rows(settings, stopped)]
    return Directory(rows, UserLookup(settings, users), UserNaming(settings.end_users))


def _config_rows(settings: Settings, stopped: Collection[str]) -> Iterator[TokenRow]:
    for name, user in settings.users.items():
        allowance = build_allowance(settings, name, user.group, user)
        for token in user.all_tokens:
            ends = [moment_ms(moment) for moment in (token.expires_at, user.expires_at) if moment is not None]
            yield TokenRow(
                hash=token.hash,
                identity=Identity(name, user.group, token.label, allowance, own_keys(user)),
                expires_ms=min(ends, default=None),
                disabled=token.disabled,
                user_disabled=user.disabled or name in stopped,
                trusted=token.trusted,
            )


def _database_rows(
    settings: Settings,
    users: Sequence[Mapping[str, Any]],
    tokens: Sequence[Mapping[str, Any]],
    hashes: Mapping[str, str],
) -> Iterator[TokenRow]:
    by_name = {user["name"]: user for user in users}
    for token in tokens:
        name = token["user"]
        own = settings.users.get(name)
        row = by_name.get(name)
        if row is None:
            continue
        group = own.group if own is not None else group_of(settings, row)
        allowance = stored_allowance(settings, row) if own is None else build_allowance(settings, name, group, own)
        yield TokenRow(
            hash=hashes[token["id"]],
            identity=Identity(name, group, token["id"], allowance, {} if own is None else own_keys(own)),
            expires_ms=_first(token["expires_ms"], None if own is None else own.expires_at),
            disabled=token["disabled"],
            user_disabled=row["disabled"] or (own is not None and own.disabled),
            trusted=token["trusted"],
        )


def _first(expires_ms: int | None, user_ends: Any) -> int | None:
    """Give the earlier end of a token and of its user."""
    ends = [] if expires_ms is None else [expires_ms]
    if user_ends is not None:
        ends.append(moment_ms(user_ends))
    return min(ends, default=None)
