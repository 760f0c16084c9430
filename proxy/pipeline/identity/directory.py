"""The directory of tokens, from the configuration and from the database; the configuration takes precedence."""

import hmac
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from proxy.config.overlay import stored_user
from proxy.config.schema import Settings, User
from proxy.core.errors import CallerError
from proxy.pipeline.admission.allowance import build_allowance
from proxy.pipeline.identity.end_users import HeaderLookup, UserNaming
from proxy.pipeline.identity.own_keys import OwnKeys
from proxy.pipeline.identity.user_lookup import UserLookup, group_of, moment_ms, stored_allowance
from proxy.pipeline.values.identity import Identity
from proxy.providers.key import Key


class TokenRow(Struct, frozen=True):
    """One token of the directory; hash is the SHA-256 in hex. trusted: it may name end users by plain headers."""

    hash: str
    identity: Identity
    expires_ms: int | None
    disabled: bool
    user_disabled: bool
    trusted: bool = False
    user_expires_ms: int | None = None  # not before expires_ms


class Directory:
    """Every valid token by its hash, and the end users whom some of them may name."""

    def __init__(
        self, rows: Iterable[TokenRow], people: UserLookup | None = None, naming: UserNaming | None = None
    ) -> None:
        self._rows: Mapping[str, TokenRow] = {row.hash: row for row in rows}
        self._people = people
        self._naming = naming
        self.takes_jwt = naming is not None and naming.takes_jwt

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, hash_: str) -> TokenRow | None:
        row = self._rows.get(hash_)
        return row if row is not None and hmac.compare_digest(row.hash, hash_) else None

    def users(self) -> set[str]:
        """Return everybody who has a token, valid or not."""
        return {row.identity.user for row in self._rows.values()}

    def token_of(self, user: str, now_ms: int) -> TokenRow | None:
        """Return a token of a user that lets in now; None where there is none."""
        for row in self._rows.values():
            is_open = not row.disabled and not row.user_disabled and (row.expires_ms is None or now_ms < row.expires_ms)
            if row.identity.user == user and is_open:
                return row
        return None

    def end_user(self, headers: HeaderLookup, row: TokenRow, now_ms: int) -> Identity:
        """Return the end user whom the token names, or its owner if it names nobody; raises CallerError."""
        if self._people is None or self._naming is None:
            return row.identity
        name = self._naming.name(headers, now_ms, trusted=row.trusted)
        if name is None:
            return row.identity
        person = self._people.find(name)
        if person.disabled:
            raise refused_token(403, "token_disabled", f"User {name!r} is disabled. Ask the operator.")
        if person.expires_ms is not None and now_ms >= person.expires_ms:
            raise refused_token(401, "token_expired", f"The access of user {name!r} has expired. Ask the operator.")
        token_id = row.identity.token_id
        return Identity(name, person.group, token_id, person.allowance, person.own_keys, person.is_new)

    def own_keys(self, user: str, group: str | None) -> Mapping[str, Key]:
        """Return the keys that a user brought, or their group, by provider."""
        return {} if self._people is None else self._people.own_keys.of(user, group)

    def add_person(self, row: Mapping[str, Any]) -> None:
        """Add an end user who has just been created; row is that of storage/sqlite/users.py."""
        if self._people is not None:
            self._people.add(row)


def build_directory(
    settings: Settings,
    users: Sequence[Mapping[str, Any]],
    tokens: Sequence[Mapping[str, Any]],
    hashes: Mapping[str, str],
    own_keys: OwnKeys | None = None,
) -> Directory:
    """Return the directory. users, tokens and hashes are rows of storage/sqlite/users.py.

    A user of the configuration whose row in the database is disabled is disabled: blocking a user always works.
    """
    stopped = {user["name"] for user in users if user["disabled"]}
    own_keys = own_keys or OwnKeys(settings)
    stored = _database_rows(settings, users, tokens, hashes, own_keys)
    rows = [*stored, *_config_rows(settings, stopped, own_keys)]
    return Directory(rows, UserLookup(settings, users, own_keys), UserNaming(settings.end_users))


def _config_rows(settings: Settings, stopped: Collection[str], own_keys: OwnKeys) -> Iterator[TokenRow]:
    for name, user in settings.users.items():
        if not user.all_tokens:
            continue
        keys = own_keys.of(name, user.group)
        allowance = build_allowance(settings, name, user.group, user)
        for token in user.all_tokens:
            user_expires_ms = _end_of(user)
            yield TokenRow(
                hash=token.hash,
                identity=Identity(name, user.group, token.label, allowance, keys),
                expires_ms=_first(None if token.expires_at is None else moment_ms(token.expires_at), user_expires_ms),
                disabled=token.disabled,
                user_disabled=user.disabled or name in stopped,
                trusted=token.trusted,
                user_expires_ms=user_expires_ms,
            )


def _database_rows(
    settings: Settings,
    users: Sequence[Mapping[str, Any]],
    tokens: Sequence[Mapping[str, Any]],
    hashes: Mapping[str, str],
    own_keys: OwnKeys,
) -> Iterator[TokenRow]:
    by_name = {user["name"]: user for user in users}
    for token in tokens:
        name = token["user"]
        own = settings.users.get(name)
        row = by_name.get(name)
        if row is None:
            continue
        group = own.group if own is not None else group_of(settings, row)
        user_expires_ms = _end_of(own or stored_user(row))
        allowance = stored_allowance(settings, row) if own is None else build_allowance(settings, name, group, own)
        yield TokenRow(
            hash=hashes[token["id"]],
            identity=Identity(name, group, token["id"], allowance, own_keys.of(name, group)),
            expires_ms=_first(token["expires_ms"], user_expires_ms),
            disabled=token["disabled"],
            user_disabled=row["disabled"] or (own is not None and own.disabled),
            trusted=token["trusted"],
            user_expires_ms=user_expires_ms,
        )


def _end_of(user: User) -> int | None:
    return None if user.expires_at is None else moment_ms(user.expires_at)


def _first(*ends_ms: int | None) -> int | None:
    """Return the earlier end of a token and of its user."""
    return min((end_ms for end_ms in ends_ms if end_ms is not None), default=None)


def refused_token(status: int, code: str, text: str) -> CallerError:
    """Return the error for a token, or a person, that is not let in."""
    type_ = "invalid_request_error" if status == 401 else "permission_error"
    return CallerError(status, code, text, type_=type_)
