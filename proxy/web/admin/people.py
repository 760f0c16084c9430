"""Users, groups and limits of the file and of the database, read together: what the resources of people answer from."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.config.group_tree import circle
from proxy.config.limit import Limit
from proxy.config.limit_checks import limit_mistakes
from proxy.config.overlay import CONFIG, DATABASE, Overlay, SettingPath, deciding, lay_over, stored_user
from proxy.config.schema import Group, Limits, Settings, User
from proxy.config.setting_path import written
from proxy.config.show import given_json, origin
from proxy.core.errors import CallerError
from proxy.core.paced import paced
from proxy.pipeline.identity.user_lookup import group_of
from proxy.pipeline.snapshot import Live
from proxy.policy.nearest import nearest
from proxy.storage.limits import LimitPlace, LimitScope, as_settings, limit_exists
from proxy.storage.reports import DirectoryRows
from proxy.storage.stored_settings import GROUP_SETTINGS, USER_SETTINGS
from proxy.storage.users import MissingError


class HeldLimit(NamedTuple):
    """One limit, whom it holds, and where it stands among the settings."""

    scope: LimitScope
    limit: Limit
    path: SettingPath

    @property
    def id(self) -> str:
        """Return its name; a preset and its use case may have limits that are alike."""
        scope = LimitScope("preset", str(self.path[1])) if self.path[:1] == ("presets",) else self.scope
        return LimitPlace(scope, self.limit.place).id

    @property
    def place(self) -> tuple[str, ...]:
        """Return where it stands in a list of limits; no two are at the same place."""
        return (*self.scope, self.id, ".".join(map(str, self.path)))


class People(Struct, frozen=True):
    """All that is known of them at one moment: the rows by name, and the file's settings with these laid over them.

    What is asked for by each look at thousands of them is found here; people_of() finds it once.
    """

    user_rows: Mapping[str, Mapping[str, Any]]
    group_rows: Mapping[str, Mapping[str, Any]]
    token_counts: Counter[str]  # of tokens in the database, by user
    overlay: Overlay
    live: Live
    names: Sequence[str] = ()  # of all users, in order
    limits: Sequence[HeldLimit] = ()  # every limit there is, by its place; those of presets hold their use cases
    limits_of: Mapping[LimitScope, Sequence[HeldLimit]] = field(default_factory=dict)
    limits_by_id: Mapping[str, HeldLimit] = field(default_factory=dict)
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by group, end users included, in order

    def user(self, name: str) -> User:
        """Return the settings of a user, also of an end user."""
        return self.overlay.settings.users.get(name) or stored_user(self.user_rows[name])

    def group_of(self, name: str) -> str | None:
        """Return the group of a user; that of end_users for an end user in none."""
        settings = self.overlay.settings
        own = settings.users.get(name)
        return group_of(settings, self.user_rows[name]) if own is None else own.group

    def children(self, group: str) -> list[str]:
        """Return the groups whose parent a group is, by name."""
        groups = self.overlay.settings.groups
        return sorted(name for name, other in groups.items() if other.parent == group)

    def source(self, path: SettingPath) -> str:
        """Return config or database; a row of an end user has no path among the settings."""
        return self.overlay.source(path) if path else DATABASE

    def refuse_decided(self, path: SettingPath) -> None:
        """Raise CallerError where the file decides a setting; the text says where."""
        where = self.place_of(path)
        raise CallerError(
            409,
            "set_in_file",
            f"{written(path)} is set in {where}, and the file takes precedence. Change it there.",
            param=written(path),
        )

    def place_of(self, path: SettingPath) -> str:
        """Return file and line of a setting: of its first value where it has several, else of the block around it."""
        loaded = self.live.loaded
        for length in range(len(path), 0, -1):
            at = path[:length]
            if (place := origin(loaded, at)) != "default":
                return place
            inside = next((place for other, place in loaded.origins.items() if other[:length] == at), None)
            if inside is not None:
                return inside
        return "the configuration"

    def check_free(self, scope: LimitScope, limit: Limit) -> None:
        """Raise where there is another limit in this place."""
        for one in self.limits_of.get(scope, ()):
            if one.limit.place == limit.place and one.path[:1] != ("presets",):
                if self.source(one.path) == CONFIG:
                    self.refuse_decided(one.path)
                raise limit_exists(scope, one.limit)

    def check_terms(self, limits: Iterable[Limit]) -> None:
        """Raise CallerError where what follows a limit, or the models that it counts, lead nowhere."""
        presets = {
            name: {"targets": [one.target for one in preset.targets]}
            for name, preset in self.overlay.settings.presets.items()
        }
        for path, text in limit_mistakes({"presets": presets, "limits": as_settings(limits)}):
            raise CallerError(422, "invalid_field", f"{written(path)}: {text}", param=written(path))

    def check_presets(self, settings: Mapping[str, Any]) -> None:
        """Raise CallerError where a default or a use case names a preset that does not exist."""
        presets = self.overlay.settings.presets
        named: list[tuple[SettingPath, Any]] = [(("settings", "default_preset"), settings.get("default_preset"))]
        named += [(("settings", "use_cases", name), one) for name, one in (settings.get("use_cases") or {}).items()]
        for path, preset in named:
            if preset is not None and preset not in presets:
                hint = nearest(preset, presets)
                advice = f'Did you mean "{hint}"?' if hint else "Add it under presets: of the configuration."
                text = f'{written(path)}: there is no preset "{preset}". {advice}'
                raise CallerError(422, "invalid_field", text, param=written(path))

    def check_group(self, name: str) -> None:
        """Raise MissingError where there is no such group."""
        if name not in self.overlay.settings.groups:
            hint = nearest(name, self.overlay.settings.groups)
            did_you = f' Did you mean "{hint}"?' if hint else f" Add it: tollkeeper groups add {name}"
            raise MissingError(f'There is no group "{name}".{did_you}')

    def check_parent(self, name: str, parent: str | None) -> None:
        """Raise where a group cannot be part of another: there is none, or it is part of the first itself."""
        if parent is None:
            return
        self.check_group(parent)
        parents = {other: group.parent for other, group in self.overlay.settings.groups.items()}
        around = circle({**parents, name: parent}, name)
        if around:
            text = f'Group "{name}" would be above itself: {" → ".join(around)}.'
            raise CallerError(422, "invalid_field", text, param="settings.parent")

    def check_open(self, own: User | Group | None, fields: Mapping[str, Any], at: SettingPath) -> None:
        """Raise CallerError where the file decides one of the fields; limits are compared one by one."""
        for name, value in fields.items():
            if own is None:
                return
            if name != "limits":
                by = deciding(own, name)
                if by is not None and getattr(own, name) != value:
                    self.refuse_decided((*at, by))
            elif value is not None:
                taken = {limit.place for limit in Limits.read(value).all}
                for one in held(LimitScope("all"), own.limits, (*at, name)):
                    if one.limit.place in taken:
                        self.refuse_decided(one.path)


def held(scope: LimitScope, limits: Limits, at: SettingPath) -> Iterable[HeldLimit]:
    """Yield limits with their paths, in their order."""
    numbers: dict[str, int] = {}
    for limit in limits.all:
        number = numbers[limit.kind] = numbers.get(limit.kind, -1) + 1
        yield HeldLimit(scope, limit, (*at, limit.kind, number) if at else ())


def people_of(rows: DirectoryRows, file: Settings, live: Live) -> People:
    """Lay the rows over the file's settings, and find what lists are made of; for thousands that takes a while."""
    people = People(
        {row["name"]: row for row in rows.users},
        {row["name"]: row for row in rows.groups},
        Counter(token["user"] for token in rows.tokens),
        lay_over(file, rows.settings),
        live,
    )
    limits = sorted(_limits(people), key=lambda one: one.place)
    limits_of: dict[LimitScope, list[HeldLimit]] = {}
    by_id: dict[str, HeldLimit] = {}
    for one in paced(limits):
        limits_of.setdefault(one.scope, []).append(one)
        by_id.setdefault(one.id, one)
    names = sorted({*people.overlay.settings.users, *people.user_rows})
    members: dict[str, list[str]] = {}
    for name in paced(names):
        group = people.group_of(name)
        if group is not None:
            members.setdefault(group, []).append(name)
    return replace(people, names=names, limits=limits, limits_of=limits_of, limits_by_id=by_id, members=members)


def _limits(people: People) -> Iterator[HeldLimit]:
    """Yield every limit there is."""
    settings = people.overlay.settings
    yield from held(LimitScope("all"), settings.limits, ("limits",))
    yield from held(LimitScope("each_user"), settings.defaults.limits, ("defaults", "limits"))
    yield from held(LimitScope("each_end_user"), settings.end_users.limits, ("end_users", "limits"))
    for name, limits in settings.use_case_limits.items():
        yield from held(LimitScope("use_case", name), limits, ("use_case_limits", name))
    for name, preset in settings.presets.items():
        if preset.use_case is not None:
            yield from held(LimitScope("use_case", preset.use_case), preset.limits, ("presets", name, "limits"))
    for name, group in settings.groups.items():
        yield from held(LimitScope("group", name), group.limits, ("groups", name, "limits"))
    for name, user in settings.users.items():
        yield from held(LimitScope("user", name), user.limits, ("users", name, "limits"))
    for name in people.user_rows.keys() - settings.users.keys():
        yield from held(LimitScope("user", name), people.user(name).limits, ())


def words_of(block: User | Group) -> dict[str, Any]:
    """Return what a user or a group has of its own, in the words of the configuration; no secret is among them."""
    names = USER_SETTINGS if isinstance(block, User) else GROUP_SETTINGS
    given = {name for name in names if name in block.given and getattr(block, name) is not None}
    found: dict[str, Any] = {name: value for name, value in given_json(block).items() if name in given - {"limits"}}
    if block.limits.all:
        found["limits"] = as_settings(block.limits.all)
    return dict(sorted(found.items()))
