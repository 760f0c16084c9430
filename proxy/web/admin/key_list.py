"""All keys of providers, of the file and of the database, with how each does: what /admin/v1/keys answers from."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from proxy.config.key_overlay import MAIN, is_management
from proxy.config.limit import written
from proxy.config.provider import KeyLimits, ProviderKey
from proxy.config.schema import Settings
from proxy.core.secret import Secret
from proxy.pipeline.context import RequestContext
from proxy.pipeline.snapshot import Snapshot
from proxy.policy.key_ring import KeyView
from proxy.storage.provider_keys import hint_of, key_id
from proxy.storage.users import MissingError
from proxy.web.admin.moment import moment_ms, moment_text
from proxy.web.admin.route import AdminRequest
from proxy.web.deps import Deps

Row = Mapping[str, Any]
SettingPath = tuple[str | int, ...]


class HeldKey(NamedTuple):
    """One key: its row as in storage/provider_keys.py with the secret, and its place in the file; (): it has none.

    is_hidden: the file has a key of the same name, which is used instead.
    """

    row: Row
    path: SettingPath = ()
    is_hidden: bool = False

    @property
    def id(self) -> str:
        return key_id(self.row["provider"], self.row["name"])


async def all_keys(request: AdminRequest) -> list[HeldKey]:
    """Return every key by provider and name, those of the file first."""
    overlay = request.deps.services.live.current.overlay
    settings = request.deps.services.live.current.settings if overlay is None else overlay.file
    rows = await request.read(request.deps.services.reports.provider_keys)
    stopped = {(row["provider"], row["name"]) for row in rows if row["disabled"]}
    in_file = [_stopped(held, stopped) for held in _of_file(settings)]
    names = {_place(held.row) for held in in_file}
    stored = [HeldKey(row, (), _place(row) in names) for row in rows if row["hint"] is not None]
    return sorted([*in_file, *stored], key=lambda held: (*_place(held.row), bool(held.is_hidden)))


async def find_key(request: AdminRequest) -> HeldKey:
    """Return the key that the path names; the file's where both have the name. Raises MissingError."""
    for held in await all_keys(request):
        if held.id == request.path["id"]:
            return held
    raise MissingError(f"There is no key {request.path['id']!r}. See: tollkeeper keys list")


def entry(held: HeldKey, deps: Deps, now_ms: int) -> dict[str, Any]:
    """Return a key as the API shows it."""
    row = held.row
    settings = _settings_of(row)
    view = _view(row, deps)
    until_ms = None if view is None else view.set_aside_until_ms
    return {
        "id": held.id,
        **{name: row[name] for name in ("provider", "name", "user", "group", "hint", "disabled")},
        "management": is_management(row),
        "source": "config" if held.path else "database",
        "state": _state(held, settings, view, deps, now_ms),
        "problem": row["problem"],
        "priority": settings.priority,
        "weight": settings.weight,
        "limits": _limits(settings.limits),
        "valid_from_at": moment_text(moment_ms(settings.valid_from)),
        "valid_until_at": moment_text(moment_ms(settings.valid_until)),
        "suspended_until_at": moment_text(until_ms),
        "suspended_because": None if view is None else view.reason,
        "draining": draining(row, deps),
        "created_at": moment_text(row["created_ms"]),
        "rotated_at": moment_text(row["rotated_ms"]),
    }


def _settings_of(row: Row) -> ProviderKey:
    settings = {} if is_management(row) else row["settings"]
    return ProviderKey.read({**settings, "name": row["name"]})


def draining(row: Row, deps: Deps) -> int:
    """Return how many open requests may still use an earlier value of a key, or one that is disabled by now."""
    live = deps.services.live
    return sum(_may_use_earlier(row, context, live.current) for context in deps.services.in_flight)


def _may_use_earlier(row: Row, context: RequestContext, current: Snapshot) -> bool:
    snapshot = getattr(context, "snapshot", None)  # not set before its first step
    if snapshot is None or snapshot is current or row["provider"] not in snapshot.providers:
        return False
    keys = [key for key in snapshot.providers[row["provider"]].keys if key.name == row["name"]]
    if row["user"] is not None or row["group"] is not None:
        identity = getattr(context, "identity", None)  # as above
        is_owner = identity is not None and (identity.user == row["user"] or identity.group == (row["group"] or ""))
        own = identity.own_keys.get(row["provider"]) if identity is not None and is_owner else None
        keys = [] if own is None else [own]
    return any(row["disabled"] or key.secret != row["secret"] for key in keys)


def _stopped(held: HeldKey, stopped: Collection[tuple[str, str]]) -> HeldKey:
    """Return a key of the file as disabled where it is; a user's own key cannot be."""
    is_stopped = held.row["user"] is None and _place(held.row) in stopped
    return held._replace(row={**held.row, "disabled": is_stopped})


def _place(row: Row) -> tuple[str, str]:
    return row["provider"], row["name"]


def _of_file(settings: Settings) -> Iterator[HeldKey]:
    for name, provider in settings.providers.items():
        if provider.api_key is not None:
            yield _configured(name, MAIN, provider.api_key, {}, ("providers", name, "api_key"))
        for number, key in enumerate(provider.keys):
            if key.api_key is not None:
                yield _configured(name, key.name, key.api_key, _settings(key), ("providers", name, "keys", number))
    for user, own in settings.users.items():
        for provider_name, secret in own.provider_keys.items():
            path = ("users", user, "provider_keys", provider_name)
            held = _configured(provider_name, own_name(user), secret, {}, path)
            yield held._replace(row={**held.row, "user": user})


def own_name(owner: str) -> str:
    """Return what the own key of a user or a group is called, unless it gets another name."""
    return f"own-{owner}"


def _configured(provider: str, name: str, secret: Secret, settings: Row, path: SettingPath) -> HeldKey:
    row = {"provider": provider, "name": name, "user": None, "group": None, "hint": hint_of(secret)}
    rest = {"settings": settings, "disabled": False, "problem": None, "created_ms": None, "rotated_ms": None}
    return HeldKey({**row, **rest, "secret": secret}, path)


def _settings(key: ProviderKey) -> dict[str, Any]:
    found = {name: getattr(key, name) for name in ("priority", "weight", "valid_from", "valid_until")}
    return {**{name: value for name, value in found.items() if value is not None}, "limits": key.limits}


def _limits(limits: KeyLimits) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for limit in limits.all:
        found.setdefault(limit.kind, []).append(written(limit))
    return found


def _view(row: Row, deps: Deps) -> KeyView | None:
    if row["user"] is not None or row["group"] is not None or is_management(row):
        return None
    views: Iterable[KeyView] = ()
    if (provider := deps.services.health.views().get(row["provider"])) is not None:
        views = provider.keys
    return next((view for view in views if view.name == row["name"]), None)


def _has_management(row: Row, deps: Deps) -> bool:
    """Return whether the file has a management key of a row's provider, which is used instead."""
    provider = deps.services.live.loaded.settings.providers.get(row["provider"])
    return provider is not None and bool(provider.management_key)


def _state(held: HeldKey, settings: ProviderKey, view: KeyView | None, deps: Deps, now_ms: int) -> str:
    row, providers = held.row, deps.services.live.current.providers
    from_ms, until_ms = moment_ms(settings.valid_from), moment_ms(settings.valid_until)
    provider = providers.get(row["provider"])
    used_up = set() if provider is None else deps.services.health.of(provider).used_up(now_ms)
    is_hidden = held.is_hidden or (is_management(row) and _has_management(row, deps))
    answers = (
        ("no provider", provider is None),
        ("hidden", is_hidden),
        ("disabled", row["disabled"]),
        ("not opened", row["problem"] is not None),
        ("not yet", from_ms is not None and now_ms < from_ms),
        ("expired", until_ms is not None and now_ms >= until_ms),
        ("suspended", view is not None and view.set_aside_until_ms is not None),
        ("used up", provider is not None and any(provider.keys[n].name == row["name"] for n in used_up)),
    )
    return next((state for state, holds in answers if holds), "in use")
