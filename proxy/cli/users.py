"""tollkeeper users: who may call."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reachable_config
from proxy.cli.settings import config_option, loader
from proxy.cli.settings_options import USER_OPTIONS, names_of, settings_options

if TYPE_CHECKING:
    from proxy.cli.admin_client import AdminClient
    from proxy.config.schema import Settings

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def users() -> None:
    """Add, list, change, disable and remove users.

    Users live in the configuration (users:) or in the database (these commands); the configuration takes precedence,
    and what it leaves open is set here for its users too. A running proxy applies a change at once. What a user has
    spent stays in the ledger. End users, whom a trusted token or a signed JWT names, are in the database from their
    first request on.
    """


@users.command()
@click.argument("name")
@click.option("--group", help="The group whose limits apply to this user too.")
@settings_options(USER_OPTIONS, removable=False)
@click.option("--no-token", is_flag=True, help="Create no token yet.")
@_json_option
@config_option
def add(
    name: str,
    group: str | None,
    settings: dict[str, Any],
    *,
    no_token: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Add a user and print a first token: the only time that it can be seen.

    What to send to the user is printed beside it.
    """
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.welcome import print_welcome  # noqa: PLC0415

    loaded = loader(config_path, {})()
    own = with_moment(settings, ZoneInfo(loaded.settings.timezone))
    body = {"name": name, "group": group, "settings": own, **({} if no_token else {"token": {}})}
    with admin_client(loaded.settings, f"tollkeeper users add {name}", loaded) as api:
        made = api.post("/users", body)
        token = None
        if (secret := made.pop("token", None)) is not None:
            token = {**api.get(resource_path("tokens", made.pop("token_id"))), "token": secret}
        groups = [] if group is None else [entry["name"] for entry in api.pages("/groups")]
    click.echo(f"User {name} was added.", err=True)
    _warn_about(loaded.settings, name, group, groups)
    if as_json:
        click.echo(json.dumps({"user": older_names(made), "token": token and older_names(token)}))
    elif token is not None:
        say_token(name, token)
        print_welcome(loaded.settings, made)


def say_token(user: str, token: dict[str, Any]) -> None:
    """Print a new token alone on stdout and what to do with it on stderr."""
    click.echo(
        f"Token {token['id']} of user {user}; copy it now: it is not stored and cannot be shown again:", err=True
    )
    click.echo(token["token"])


def older_names(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with its times in milliseconds too, as JSON had them before there was an API."""
    from proxy.cli.limit_table import moment_of  # noqa: PLC0415 - keeps --help quick

    times = {f"{name}_ms": moment_of(entry[f"{name}_at"]) for name in ("created", "expires") if f"{name}_at" in entry}
    return {**entry, **times}


def with_moment(settings: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """Return settings with the end of the access as a time in UTC."""
    text = settings.get("expires_at")
    return {**settings, **({} if text is None else {"expires_at": moment_ahead(text, zone)})}


def moment_ahead(text: str, zone: ZoneInfo) -> str | None:
    """Return a moment ahead as the API takes it; raises click.BadParameter for one that has passed."""
    from proxy.cli.moments import moment_ms  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import SystemClock  # noqa: PLC0415
    from proxy.web.admin.moment import moment_text  # noqa: PLC0415

    now_ms = SystemClock().now_ms()
    found_ms = moment_ms(text, zone, now_ms, option="--expires", ahead=True)
    if found_ms <= now_ms:
        raise click.BadParameter(f"{text!r} has passed already.", param_hint="--expires")
    return moment_text(found_ms)


def _warn_about(settings: "Settings", name: str, group: str | None, groups: list[str]) -> None:
    if name in settings.users:
        click.echo(f"Note: {name} is in the configuration too; what it decides there applies.", err=True)
    if group is not None and group not in groups:
        click.echo(
            f"Note: there is no group {group}, so no limits come with it. Add it: tollkeeper groups add {group}",
            err=True,
        )


@users.command("list")
@click.option("--group", help="Only the users of this group.")
@_json_option
@config_option
def list_(group: str | None, *, as_json: bool, config_path: Path | None) -> None:
    """List all users: state, the limit of which least is left, and where they come from."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.limit_table import tightest_cells  # noqa: PLC0415
    from proxy.cli.table import print_table  # noqa: PLC0415

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, "tollkeeper users list", loaded) as api:
        found = [older_names(user) for user in api.pages("/users", {"group": group})]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("There is no user yet. Add one: tollkeeper users add NAME", err=True)
        return
    zone, rows = ZoneInfo(loaded.settings.timezone), []
    for user in found:
        figures = tightest_cells(user["limits"], zone)
        rows.append((user["name"], user["group"], _state(user), *figures, user["tokens"], _source(user)))
    print_table(
        ("user", "group", "state", "limit", "used", "left", "resets", "tokens", "source"),
        rows,
        right=frozenset({"used", "left", "tokens"}),
        whole=frozenset({"state", "resets", "source"}),
    )


def _source(user: Mapping[str, Any]) -> str:
    return str(user["source"] if user["made_by"] is None else "end user")


def _state(row: Mapping[str, Any]) -> str:
    return "disabled" if row["disabled"] else "expired" if row.get("expired") else "active"


@users.command()
@click.argument("name")
@_json_option
@config_option
def show(name: str, *, as_json: bool, config_path: Path | None) -> None:
    """Show a user with their tokens, and all limits that hold for them, with what is left of each."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.limit_table import print_limits  # noqa: PLC0415
    from proxy.cli.moments import shown  # noqa: PLC0415

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, f"tollkeeper users show {name}", loaded) as api:
        user = older_names(api.get(resource_path("users", name)))
        tokens = [older_names(token) for token in api.pages("/tokens", {"user": name})]
        held = [] if as_json else [*user["limits"], *_limits_with_others(api, user["group"])]
    if as_json:
        click.echo(json.dumps({**user, "tokens": tokens}, indent=2))
        return
    zone = ZoneInfo(loaded.settings.timezone)
    for title, value in (
        ("user", name),
        ("group", user["group"] or "-"),
        ("state", _state(user)),
        ("source", _source(user)),
        *([("named by", user["made_by"])] if user["made_by"] is not None else []),
        ("created", shown(user["created_ms"], zone) or "-"),
        ("expires", shown(user["expires_ms"], zone) or "never"),
        ("limits", _limits_text(user["settings"].get("limits", {}))),
        *((title, setting_text(value)) for title, value in user["settings"].items() if title not in _SHOWN),
    ):
        click.echo(f"{title:8} {value}")
    for token in tokens:
        click.echo(f"{'token':8} {token['id']}  {token['name']}  {_state(token)}")
    if held:
        click.echo()
        print_limits(held, zone, whom=True)


def _limits_with_others(api: "AdminClient", group: str | None) -> list[dict[str, Any]]:
    """Return the limits of a group, of the groups above it, and of everyone together."""
    groups = {entry["name"]: entry for entry in api.pages("/groups")} if group is not None else {}
    found: list[dict[str, Any]] = []
    while group in groups:
        entry = groups.pop(group)  # each once, also in a circle
        found += entry["limits"]
        group = entry["settings"].get("parent")
    return [*found, *api.pages("/limits", {"scope": "all"})]


_SHOWN = frozenset({"limits", "expires_at"})


def setting_text(value: Any) -> str:
    """Return the value of a setting for a line."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _limits_text(limits: Any) -> str:
    """Return a user's own limits in a line."""
    from proxy.config.limit import written  # noqa: PLC0415 - keeps --help quick
    from proxy.config.schema import Limits  # noqa: PLC0415

    texts = [
        written(limit) if limit.kind == "cost" else f"{limit.kind}={written(limit)}"
        for limit in Limits.read(limits).all
    ]
    return ", ".join(texts) or "the general ones (defaults.limits, groups, limits)"


@users.command("set")
@click.argument("name")
@click.option("--group", help="Move the user into a group.")
@click.option("--no-group", is_flag=True, help="Remove the user from their group.")
@settings_options(USER_OPTIONS, removable=True)
@config_option
def set_(name: str, group: str | None, settings: dict[str, Any], *, no_group: bool, config_path: Path | None) -> None:
    """Change a user; the limits that are given replace those that the user has in the database.

    For a user of the configuration too: what the file decides is refused, with the line to change.
    """
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    if group is not None and no_group:
        raise click.UsageError("Give --group NAME or --no-group.")
    if group is None and not no_group and not settings:
        raise click.UsageError(f"Give --group NAME or --no-group, {names_of(USER_OPTIONS)}.")
    loaded = loader(config_path, {})()
    changes: dict[str, Any] = {"settings": with_moment(settings, ZoneInfo(loaded.settings.timezone))}
    if group is not None or no_group:
        changes["group"] = group
    with admin_client(loaded.settings, f"tollkeeper users set {name}", loaded) as api:
        user = api.patch(resource_path("users", name), changes)
        groups = [] if group is None else [entry["name"] for entry in api.pages("/groups")]
    if "group" in changes:
        _warn_about(loaded.settings, "", group, groups)
        click.echo(f"User {name} is now in {f'group {group}' if group else 'no group'}.", err=True)
    for setting in settings:
        value = user["settings"].get(setting)
        text = _limits_text(value or {}) if setting == "limits" else setting_text(value)
        click.echo(f"{setting} of {name}: {'not set' if value is None and setting != 'limits' else text}.", err=True)


@users.command()
@click.argument("name")
@config_option
def disable(name: str, config_path: Path | None) -> None:
    """Refuse all requests of a user until they are enabled again, also of one in the configuration."""
    _switch(config_path, name, disabled=True)


@users.command()
@click.argument("name")
@config_option
def enable(name: str, config_path: Path | None) -> None:
    """Let a disabled user in again."""
    _switch(config_path, name, disabled=False)


def _switch(config_path: Path | None, name: str, *, disabled: bool) -> None:
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    loaded, word = reachable_config(config_path), "disable" if disabled else "enable"
    with admin_client(loaded.settings, f"tollkeeper users {word} {name}", loaded) as api:
        api.patch(resource_path("users", name), {"disabled": disabled})
    click.echo(f"User {name} is {word}d.", err=True)


@users.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@config_option
def remove(name: str, *, yes: bool, config_path: Path | None) -> None:
    """Remove a user and all their tokens. Their requests stay in the ledger."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    loaded = loader(config_path, {})()
    with admin_client(loaded.settings, f"tollkeeper users remove {name}", loaded) as api:
        if not yes and sys.stdin.isatty():
            _ask(api, name)
        api.delete(resource_path("users", name))
    click.echo(f"User {name} was removed from the database.", err=True)
    if name in loaded.settings.users:
        click.echo(f"Note: {name} is in the configuration too, and stays there.", err=True)


def _ask(api: "AdminClient", name: str) -> None:
    """Ask on a terminal; raises click.Abort."""
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415 - keeps --help quick

    count = api.get(resource_path("users", name))["tokens"]
    tokens = f"{count} token{'' if count == 1 else 's'}"
    click.confirm(f"Remove {name} with {tokens}? What {name} has spent stays in the ledger.", abort=True, err=True)
