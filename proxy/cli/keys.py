"""tollkeeper keys: what providers are asked with, sealed in the database."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.key_report import say_key_report
from proxy.cli.limit_option import limit_option, read_limits
from proxy.cli.master_key import master
from proxy.cli.reading_settings import reading_settings
from proxy.cli.secret_input import read_secret
from proxy.cli.settings import config_option, loader

if TYPE_CHECKING:
    from proxy.cli.admin_client import AdminClient
    from proxy.config.schema import Settings

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_file_option = click.option(
    "--key-file", metavar="FILE", help="A file that holds the key, - is stdin; without it you are asked."
)
_no_test_option = click.option("--no-test", is_flag=True, help="Store it without asking the provider first.")
_DRAIN_S = 30.0
_POLL_S = 0.2
_MOMENT = "A moment: 2027-01-31, 2027-01-31T08:00, or from now: 30d, 12h."


@click.group()
def keys() -> None:
    """Add, list, test, rotate, disable and remove providers' keys, and those of users' own.

    A key is sealed in the database with the master key (tollkeeper keys master), and is never shown again but for its
    last four characters. It is used beside those of the configuration, from the next request on. NAME may be left out
    where a provider has one key in the database.
    """


keys.add_command(master)


def _settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.option("--priority", type=click.IntRange(0, 1000), help="Lower goes first; default 1."),
            click.option("--weight", type=click.IntRange(1, 10**6), help="Its share among equals; default 1."),
            limit_option,
            click.option("--from", "from_", metavar="TIME", help=f"When it begins to be used. {_MOMENT}"),
            click.option("--until", metavar="TIME", help=f"When it is used no longer. {_MOMENT}"),
        )
    ):
        command = option(command)
    return command


@keys.command()
@click.argument("provider")
@click.option("--name", help="What it is called in lists and in the ledger; main, or key-2 and so on, unless given.")
@_file_option
@_settings_options
@click.option("--user", help="A user whose own key it is: their requests to the provider use it alone.")
@click.option("--group", help="A group whose own key it is.")
@click.option("--management", is_flag=True, help="It reads the account and its bill; no request is sent with it.")
@_no_test_option
@_json_option
@config_option
def add(
    provider: str,
    name: str | None,
    key_file: str | None,
    user: str | None,
    group: str | None,
    *,
    management: bool,
    no_test: bool,
    as_json: bool,
    config_path: Path | None,
    **given: Any,
) -> None:
    """Add a key of a provider, after asking the provider whether it is good."""
    from proxy.cli.admin_client import PROVIDER_ANSWER_S, admin_client  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    fields = _fields(settings, given)
    if provider not in settings.providers:  # before a key is typed in vain
        raise click.ClickException(
            f"The configuration has no such provider. There are: {', '.join(settings.providers)}."
        )
    owner = {"user": user, "group": group, "name": name, "management": management}
    secret = read_secret(key_file, f"Key of {provider}", "--key-file")
    with admin_client(settings, "tollkeeper keys add", answer_s=PROVIDER_ANSWER_S) as api:
        made = api.post("/keys", {"provider": provider, "secret": secret, "test": not no_test, **owner, **fields})
        _say_added(made, owner)
        if not no_test and user is None and group is None:  # another's account is no concern of the operator
            say_key_report(api, provider, made["name"])
    if made["master_key_made"] is not None:
        click.echo(
            f"The master key was made, which seals it: {made['master_key_made']}. Without it no key can be opened; keep"
            " a copy elsewhere: tollkeeper keys master export",
            err=True,
        )
    if as_json:
        click.echo(json.dumps(made))


def _say_added(made: dict[str, Any], owner: dict[str, Any]) -> None:
    if made["check"] is not None:
        click.echo(f"{made['check']['said']}.", err=True)
    whose = owner["user"] or owner["group"]
    own = f", {whose}'s own" if whose else ""
    name = f"Key {made['name']} of {made['provider']}{_hint(made)}"
    click.echo(f"{name} was added{own}, and is in use from now on.", err=True)


@keys.command("list")
@click.option("--provider", help="Only keys of this provider.")
@_json_option
@config_option
def list_(provider: str | None, *, as_json: bool, config_path: Path | None) -> None:
    """List all keys, those of the configuration too, with how each does now."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.table import print_table  # noqa: PLC0415

    settings = reading_settings(config_path)
    with admin_client(settings, "tollkeeper keys list") as api:
        found = list(api.pages("/keys", {"provider": provider}))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("There is no key yet. Add one: tollkeeper keys add PROVIDER", err=True)
        return
    rows = [
        (
            each["provider"],
            each["name"],
            f"…{each['hint']}" if each["hint"] else "-",
            each["state"],
            each["priority"],
            each["weight"],
            _owner(each),
            each["source"],
        )
        for each in found
    ]
    headers = ("provider", "name", "ends in", "state", "prio", "weight", "own key of", "source")
    print_table(headers, rows, right=frozenset({"prio", "weight"}), whole=frozenset({"ends in"}))
    for each in found:
        if each["problem"] is not None:
            click.echo(f"{each['id']} cannot be opened: {each['problem']}. Set it anew: {_again(each)}", err=True)


@keys.command()
@click.argument("provider")
@click.argument("name", required=False)
@_json_option
@config_option
def show(provider: str, name: str | None, *, as_json: bool, config_path: Path | None) -> None:
    """Show one key: its settings, and how it does now."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.moments import shown  # noqa: PLC0415

    settings = reading_settings(config_path)
    with admin_client(settings, "tollkeeper keys show") as api:
        found = _find(api, provider, name)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    zone = ZoneInfo(settings.timezone)
    limits = [f"{limit}" for listed in found["limits"].values() for limit in listed]
    for title, value in (
        ("key", f"{found['name']} of {found['provider']}{_hint(found)}"),
        ("own key of", _owner(found)),
        ("state", found["state"]),
        ("problem", found["problem"]),
        ("suspended", _suspended(found, zone)),
        ("source", found["source"]),
        ("priority", f"{found['priority']}, weight {found['weight']}"),
        ("limits", ", ".join(limits) or "none of its own"),
        ("used from", shown(_ms(found["valid_from_at"]), zone)),
        ("until", shown(_ms(found["valid_until_at"]), zone)),
        ("added", shown(_ms(found["created_at"]), zone)),
        ("rotated", shown(_ms(found["rotated_at"]), zone)),
        ("draining", f"{found['draining']} requests with its earlier value" if found["draining"] else None),
    ):
        if value is not None:
            click.echo(f"{title:10} {value}")


@keys.command()
@click.argument("provider")
@click.argument("name", required=False)
@_json_option
@config_option
def test(provider: str, name: str | None, *, as_json: bool, config_path: Path | None) -> None:
    """Ask the provider about a key; the exit code is 1 where it does not accept it."""
    from proxy.cli.admin_client import PROVIDER_ANSWER_S, admin_client  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    with admin_client(settings, "tollkeeper keys test", answer_s=PROVIDER_ANSWER_S) as api:
        said = api.post(f"{_path(_find(api, provider, name))}/test")
    click.echo(json.dumps(said) if as_json else f"{said['said']}.")
    if not said["accepted"]:
        sys.exit(1)


@keys.command("set")
@click.argument("provider")
@click.argument("name", required=False)
@_settings_options
@click.option("--no-limits", is_flag=True, help="Remove the key's own limits.")
@click.option("--no-from", is_flag=True, help="Let it be used at once.")
@click.option("--no-until", is_flag=True, help="Let it be used without an end.")
@config_option
def set_(
    provider: str,
    name: str | None,
    *,
    no_limits: bool,
    no_from: bool,
    no_until: bool,
    config_path: Path | None,
    **given: Any,
) -> None:
    """Change a key's priority, weight, limits or dates; limits that are given replace those that it has."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    fields = _fields(settings, given)
    for removed, field, option in (
        (no_limits, "limits", "limit"),
        (no_from, "valid_from_at", "from"),
        (no_until, "valid_until_at", "until"),
    ):
        if removed and field in fields:
            raise click.UsageError(f"Give --{option} or its --no-…, not both.")
        fields |= {field: None} if removed else {}
    if not fields:
        raise click.UsageError("Give what to change: --priority, --weight, --limit, --from, --until, or a --no-…")
    with admin_client(settings, "tollkeeper keys set") as api:
        found = api.patch(_path(_find(api, provider, name)), fields)
    click.echo(f"Key {found['name']} of {found['provider']} was changed: {found['state']}.", err=True)


@keys.command()
@click.argument("provider")
@click.argument("name", required=False)
@_file_option
@_no_test_option
@click.option(
    "--wait", "wait_s", type=click.FloatRange(0, 3600), default=_DRAIN_S, show_default=True, metavar="SECONDS",
    help="How long to wait until no open request uses the old key.",
)  # fmt: skip
@config_option
def rotate(
    provider: str,
    name: str | None,
    key_file: str | None,
    wait_s: float,
    *,
    no_test: bool,
    config_path: Path | None,
) -> None:
    """Put another key in the place of one, after asking the provider; say when the old one is used no longer."""
    from proxy.cli.admin_client import PROVIDER_ANSWER_S, admin_client  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    with admin_client(settings, "tollkeeper keys rotate", answer_s=PROVIDER_ANSWER_S) as api:
        found = _find(api, provider, name)
        title = f"New key for {found['name']} of {found['provider']}"
        secret = read_secret(key_file, title, "--key-file")
        made = api.post(f"{_path(found)}/rotate", {"secret": secret, "test": not no_test})
        if made["check"] is not None:
            click.echo(f"{made['check']['said']}.", err=True)
        click.echo(f"Key {made['name']} of {made['provider']}{_hint(made)} is in use from now on.", err=True)
        left = _drained(api, made, wait_s)
    if left:
        text = f"{left} open requests may still use the old key; tollkeeper keys show tells when they are over."
        click.echo(text, err=True)
    else:
        click.echo("The old key is used no longer: revoke it at the provider.", err=True)


@keys.command()
@click.argument("provider")
@click.argument("name", required=False)
@config_option
def disable(provider: str, name: str | None, config_path: Path | None) -> None:
    """Use a key no longer until it is enabled again, also one of the configuration."""
    _switch(provider, name, config_path, disabled=True)


@keys.command()
@click.argument("provider")
@click.argument("name", required=False)
@config_option
def enable(provider: str, name: str | None, config_path: Path | None) -> None:
    """Use a disabled key again."""
    _switch(provider, name, config_path, disabled=False)


@keys.command()
@click.argument("provider")
@click.argument("name", required=False)
@config_option
def remove(provider: str, name: str | None, config_path: Path | None) -> None:
    """Remove a key for good; what was spent with it stays in the ledger."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    with admin_client(settings, "tollkeeper keys remove") as api:
        found = api.delete(_path(_find(api, provider, name)))
    click.echo(f"Key {found['name']} of {found['provider']}{_hint(found)} was removed.", err=True)


def _switch(provider: str, name: str | None, config_path: Path | None, *, disabled: bool) -> None:
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = reading_settings(config_path)
    with admin_client(settings, f"tollkeeper keys {'disable' if disabled else 'enable'}") as api:
        found = api.patch(_path(_find(api, provider, name)), {"disabled": disabled})
    click.echo(f"Key {found['name']} of {found['provider']} is {'disabled' if disabled else 'enabled'}.", err=True)


def _find(api: "AdminClient", provider: str, name: str | None) -> dict[str, Any]:
    """Return the key that is meant: by its name, by its id (provider:name), or the only one of a provider."""
    if name is None and ":" in provider:
        provider, _, name = provider.partition(":")
    found = [each for each in api.pages("/keys", {"provider": provider}) if name in (None, each["name"])]
    stored = [each for each in found if each["source"] == "database"] or found
    if not stored:
        what = f"key {name!r} of {provider}" if name else f"key of {provider}"
        raise click.ClickException(f"There is no {what}. See: tollkeeper keys list")
    if name is None:
        stored = [each for each in stored if not each["management"]] or stored
    if name is None and len(stored) > 1:
        names = ", ".join(each["name"] for each in stored)
        raise click.ClickException(f"{provider} has several keys: {names}. Say which one.")
    in_file = [each for each in found if each["source"] == "config"]
    return (in_file or stored)[0] if name is not None else stored[0]


def _path(found: dict[str, Any]) -> str:
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415 - keeps --help quick

    return resource_path("keys", found["id"])


def _drained(api: "AdminClient", made: dict[str, Any], wait_s: float) -> int:
    """Return how many requests may use the old key when time is up."""
    deadline_s, left = time.monotonic() + wait_s, int(made["draining"])
    while left and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
        left = int(api.get(_path(made))["draining"])
    return left


def _fields(settings: "Settings", given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that options give, as the API takes them."""
    fields = {name: given[name] for name in ("priority", "weight") if given[name] is not None}
    if given["limits"]:
        fields["limits"] = read_limits(given["limits"])
    for option, field in (("from_", "valid_from_at"), ("until", "valid_until_at")):
        if given[option] is not None:
            fields[field] = _moment(settings, given[option], f"--{option.rstrip('_')}")
    return fields


def _moment(settings: "Settings", text: str, option: str) -> str | None:
    from proxy.cli.moments import moment_ms  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import SystemClock  # noqa: PLC0415
    from proxy.web.admin.moment import moment_text  # noqa: PLC0415

    zone = ZoneInfo(settings.timezone)
    return moment_text(moment_ms(text, zone, SystemClock().now_ms(), option=option, ahead=True))


def _ms(text: str | None) -> int | None:
    from datetime import datetime  # noqa: PLC0415 - keeps --help quick

    return None if text is None else int(datetime.fromisoformat(text).timestamp() * 1000)


def _hint(found: dict[str, Any]) -> str:
    return f" (…{found['hint']})" if found["hint"] else ""


def _again(found: dict[str, Any]) -> str:
    return f"tollkeeper keys rotate {found['provider']} {found['name']}"


def _owner(found: dict[str, Any]) -> str | None:
    """Return whose key it is; None: anybody's."""
    if found["management"]:
        return "the account"
    return found["user"] or (f"group {found['group']}" if found["group"] else None)


def _suspended(found: dict[str, Any], zone: ZoneInfo) -> str | None:
    from proxy.cli.moments import shown  # noqa: PLC0415 - keeps --help quick

    if found["suspended_until_at"] is None:
        return None
    return f"until {shown(_ms(found['suspended_until_at']), zone)}: {found['suspended_because']}"
