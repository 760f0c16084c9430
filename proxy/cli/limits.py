"""tollkeeper limits: every limit there is, and what is left of it."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import click

from proxy.cli.limit_option import split_limit
from proxy.cli.reading_settings import reachable_config
from proxy.cli.settings import config_option, loader

if TYPE_CHECKING:
    from proxy.cli.admin_client import AdminClient

F = TypeVar("F", bound=Callable[..., Any])
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_LIMIT = "LIMIT"


@click.group()
def limits() -> None:
    """Add, list, change and remove limits: on everyone together, a user, a group or a use case.

    LIMIT is '$5/day', 100/hour (requests), tokens=1M/day, images=10/day or concurrency=4. Without an option for whom,
    it holds for everyone together. A running proxy applies a change at once; what was spent stays.
    """


def _whom_options(command: F) -> F:
    """Add the options that say whom a limit holds; the command gets scope and name, None without any."""

    @functools.wraps(command)
    def run(*arguments: Any, **given: Any) -> Any:
        named = {what: given.pop(what) for what in ("user", "group", "use_case")}
        found: list[tuple[str, str | None]] = [(what, name) for what, name in named.items() if name is not None]
        if given.pop("each_user"):
            found.append(("each_user", None))
        if len(found) > 1:
            raise click.UsageError("Give one of --user, --group, --use-case and --each-user.")
        return command(*arguments, whom=found[0] if found else None, **given)

    decorated: Any = run
    for option, text in (
        ("--use-case", "On everyone together, under this use case."),
        ("--group", "On the members of this group together."),
        ("--user", "On this user."),
    ):
        decorated = click.option(option, metavar="NAME", help=text)(decorated)
    return click.option("--each-user", is_flag=True, help="On each user who has none of this kind.")(decorated)  # type: ignore[no-any-return]


def _terms_options(command: F) -> F:
    """Add the options for a limit that is not the usual one."""
    decorated: Any = click.option(
        "--on-spent", metavar="WHAT", help="What follows: refuse, 'downgrade: PRESET', of a soft one 'slow: 6/minute'."
    )(command)
    decorated = click.option("--soft", is_flag=True, help="Let the last requests pass: see docs/concepts/quotas.md.")(
        decorated
    )
    return click.option(  # type: ignore[no-any-return]
        "--model", "models", multiple=True, metavar="PATTERN", help="It counts these models only, like 'anthropic/*'."
    )(decorated)


Whom = tuple[str, str | None]


@limits.command("list")
@_whom_options
@_json_option
@config_option
def list_(whom: Whom | None, *, as_json: bool, config_path: Path | None) -> None:
    """List limits with what is used, set aside by open requests, and left."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.limit_table import print_limits  # noqa: PLC0415

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, "tollkeeper limits list", loaded) as api:
        found = list(api.pages("/limits", {} if whom is None else {"scope": whom[0], "name": whom[1]}))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        print_limits(found, ZoneInfo(loaded.settings.timezone), whom=True)
    else:
        click.echo("There is no such limit. Add one: tollkeeper limits add '$100/month'", err=True)


@limits.command()
@click.argument("limit", metavar=_LIMIT)
@_whom_options
@_terms_options
@_json_option
@config_option
def add(
    limit: str,
    whom: Whom | None,
    models: Sequence[str],
    on_spent: str | None,
    *,
    soft: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Add a limit."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    kind, setting = _setting(limit, models, on_spent, soft=soft)
    scope, name = whom or ("all", None)
    loaded = loader(config_path, {})()
    with admin_client(loaded.settings, "tollkeeper limits add", loaded) as api:
        before = _of_defaults(api, name) if scope == "user" else []
        made = api.post("/limits", {"scope": scope, "name": name, "kind": kind, "limit": setting})
        after = _of_defaults(api, name) if scope == "user" else []
    _say("added", made, as_json=as_json)
    for gone in before:
        if gone not in after:
            click.echo(
                f"Note: {gone} of each user no longer holds for {name}: a limit of their own of this kind replaces it.",
                err=True,
            )


def _of_defaults(api: "AdminClient", user: str | None) -> list[str]:
    """Return the limits of each user that hold for this one."""
    from proxy.cli.limit_table import limit_text  # noqa: PLC0415 - keeps --help quick

    general = {limit_text(limit) for limit in api.pages("/limits", {"scope": "each_user"})}
    own = {limit_text(limit) for limit in api.pages("/limits", {"scope": "user", "name": user})}
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415

    held = [limit_text(limit) for limit in api.get(resource_path("users", str(user)))["limits"]]
    return [text for text in held if text in general and text not in own]


def _setting(limit: str, models: Sequence[str], on_spent: str | None, *, soft: bool) -> tuple[str, Any]:
    """Return the kind of a limit, and the limit as the configuration has it; raises click.BadParameter."""
    from proxy.config.diagnostic import SettingError  # noqa: PLC0415 - keeps --help quick
    from proxy.config.limit import parse_limit  # noqa: PLC0415

    kind, text = split_limit(limit, _LIMIT)
    setting: Any = text
    if models or on_spent is not None or soft:
        amount, slash, window = text.partition("/")
        terms = {"window": window if slash else None, "models": list(models) or None, "on_spent": on_spent}
        setting = {"amount": amount, "mode": "soft" if soft else None, **terms}
        setting = {name: value for name, value in setting.items() if value is not None}
    try:
        parse_limit(kind, setting)
    except SettingError as error:
        raise click.BadParameter(f"{kind}: {error}", param_hint=_LIMIT) from None
    return kind, setting


def _say(what: str, limit: Mapping[str, Any], *, as_json: bool = False) -> None:
    from proxy.cli.limit_table import figure, limit_text, whose  # noqa: PLC0415 - keeps --help quick

    left = figure(limit, "remaining")
    rest = "" if left is None else f", {left} left"
    click.echo(f"The limit {limit_text(limit)} of {whose(limit)} was {what}{rest}.", err=True)
    if as_json:
        click.echo(json.dumps(limit))


@limits.command("set")
@click.argument("limit", metavar=_LIMIT)
@_whom_options
@_terms_options
@_json_option
@config_option
def set_(
    limit: str,
    whom: Whom | None,
    models: Sequence[str],
    on_spent: str | None,
    *,
    soft: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Change the amount of the limit of the same kind and window, or what follows when it is spent."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    kind, setting = _setting(limit, models, on_spent, soft=soft)
    loaded = loader(config_path, {})()
    with admin_client(loaded.settings, "tollkeeper limits set", loaded) as api:
        old = _found(api, whom, kind, setting)
        fresh = api.patch(resource_path("limits", old["id"]), {"limit": setting})
    _say("changed", fresh, as_json=as_json)


def _found(api: "AdminClient", whom: Whom | None, kind: str, setting: Any) -> dict[str, Any]:
    """Return the limit of the same kind, window, mode and models; raises click.ClickException where there is none."""
    from proxy.cli.limit_table import limit_text, whose  # noqa: PLC0415 - keeps --help quick
    from proxy.config.limit import parse_limit  # noqa: PLC0415

    wanted = parse_limit(kind, setting)
    scope, name = whom or ("all", None)
    known = list(api.pages("/limits", {"scope": scope, "name": name}))
    for limit in known:
        place = (limit["kind"], limit["window"] or "", limit["mode"], *limit["models"])
        if place == wanted.place:
            return limit
    texts = ", ".join(map(limit_text, known)) or "none"
    holder = whose({"scope": scope, "name": name})
    raise click.ClickException(f"There is no such limit of {holder}; there is: {texts}. Add it with: limits add")


@limits.command()
@click.argument("limit", metavar=_LIMIT)
@_whom_options
@_terms_options
@config_option
def remove(
    limit: str, whom: Whom | None, models: Sequence[str], on_spent: str | None, *, soft: bool, config_path: Path | None
) -> None:
    """Remove the limit of this kind and window; LIMIT may also be its id (see --json)."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    loaded = loader(config_path, {})()
    with admin_client(loaded.settings, "tollkeeper limits remove", loaded) as api:
        id_ = limit if limit.startswith("lim_") else None
        if id_ is None:
            id_ = _found(api, whom, *_setting(limit, models, on_spent, soft=soft))["id"]
        _say("removed", {**api.delete(resource_path("limits", str(id_))), **_NOTHING_LEFT})


_NOTHING_LEFT = {"remaining": None, "remaining_usd": None}
