"""tollkeeper alerts: what is watched, who is told, and what arrived."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.alert_destinations import destinations
from proxy.cli.alert_options import alerts_api, given, say_made
from proxy.cli.settings import config_option

if TYPE_CHECKING:
    from proxy.config.schema import Settings

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_SETTINGS: tuple[tuple[str, str, str], ...] = (  # option, setting, help
    ("--scope", "scope", "Of whom or what; * stands for any text. Several times for several."),
    ("--at", "at", "A threshold, like 80%, 30s, 2GB or 20. Several times for several."),
    ("--limits", "limits", "Which kinds of limits, like cost. Several times for several."),
    ("--to", "to", "A destination; log is the log. Several times for several."),
)
_VALUES: tuple[tuple[str, str, str], ...] = (
    ("--window", "window_s", "Over how many seconds it is measured."),
    ("--for", "for_s", "How many seconds a threshold must be reached before it is told."),
    ("--min-requests", "min_requests", "With fewer requests in the window nothing is told."),
    ("--min-usd", "min_usd", "With less spent in the window nothing is told."),
    ("--once-per", "once_per", "hour, day, week or month: how often each threshold may be told."),
    ("--action", "action", "What is done to whom it fires for: stop, slow, slow: 6/minute, downgrade: PRESET."),
    ("--stop-for", "stop_for_s", "How many seconds that lasts at most."),
)
_FLAGS: tuple[tuple[str, str, str], ...] = (
    ("--urgent/--not-urgent", "urgent", "Send it during quiet hours too."),
    ("--with-reserved/--without-reserved", "with_reserved", "Count what open requests have reserved as used."),
    ("--enable/--disable", "enabled", "Watch it, or not."),
)


def _rule_options(command: Any) -> Any:
    """Add an option for each setting of a rule but what it watches."""
    for option, name, help_ in reversed(_FLAGS):
        command = click.option(option, name, default=None, help=help_)(command)
    for option, name, help_ in reversed(_VALUES):
        command = click.option(option, name, help=help_)(command)
    for option, name, help_ in reversed(_SETTINGS):
        command = click.option(option, name, multiple=True, help=help_)(command)
    return command


def _time(text: str | None, settings: "Settings") -> str | None:
    from datetime import datetime  # noqa: PLC0415 - keeps --help quick

    from proxy.cli.moments import shown  # noqa: PLC0415

    if text is None:
        return None
    return shown(int(datetime.fromisoformat(text).timestamp() * 1000), ZoneInfo(settings.timezone))


@click.group()
def alerts() -> None:
    """Show what is watched, add rules and destinations, silence them, try them out.

    Rules and destinations stand in the configuration (alerts:) or in the database (these commands); the configuration
    takes precedence. A change is in force at once.
    """


@alerts.command("list")
@click.option("--firing", is_flag=True, help="Only what fires now.")
@_json_option
@config_option
def list_(*, firing: bool, as_json: bool, config_path: Path | None) -> None:
    """List rules with what they came to at the last look, and when they fired last."""
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick
    from proxy.core.alert_kinds import ALERT_KINDS_BY_NAME  # noqa: PLC0415
    from proxy.policy.alerts.alert_message import value_text  # noqa: PLC0415

    with alerts_api(config_path, "list") as (api, settings):
        rules = list(api.pages("/alerts/rules"))
        states = list(api.pages("/alerts/states", {"firing": True} if firing else None))
    if firing:
        rules = [rule for rule in rules if rule["state"] == "firing"]
    if as_json:
        own = {rule["name"]: [one for one in states if one["rule"] == rule["name"]] for rule in rules}
        click.echo(json.dumps([{**rule, "states": own[rule["name"]]} for rule in rules], indent=2))
        return
    if not rules:
        text = "Nothing fires." if firing else "There is no rule yet. Add one: tollkeeper alerts add NAME --watch …"
        click.echo(text, err=True)
        return
    rows = []
    for rule in rules:
        kind = ALERT_KINDS_BY_NAME[rule["settings"]["watch"]]
        own_states = [one for one in states if one["rule"] == rule["name"] and one["value"] is not None]
        pick = min if kind.is_below else max
        worst = pick(own_states, key=lambda one: one["value"], default=None)
        value = "-" if worst is None or kind.unit == "state" else value_text(kind.unit, worst["value"])
        where = "-" if worst is None or not (worst["value"] or kind.is_below) else worst["subject"]
        fired = _time(rule["last_fired_at"], settings) or "never"
        rows.append((rule["name"], kind.name, rule["state"].replace("_", " "), value, where, fired, rule["source"]))
    whole = frozenset(("state", "last fired"))
    print_table(("rule", "watches", "state", "value", "of", "last fired", "source"), rows, whole=whole)


@alerts.command()
@click.argument("name")
@click.option("--watch", required=True, help="What is watched: docs/reference/alerts.md has all kinds.")
@_rule_options
@_json_option
@config_option
def add(name: str, watch: str, *, as_json: bool, config_path: Path | None, **options: Any) -> None:
    """Add a rule, such as: alerts add budgets --watch limit_share --at 80% --at 100% --to team."""
    body = {"name": name, "settings": {"watch": watch, **given(options)}}
    with alerts_api(config_path, f"add {name}") as (api, _):
        made = api.post("/alerts/rules", body)
    say_made(made, f"Rule {name} was added.", as_json=as_json)


@alerts.command("set")
@click.argument("name")
@_rule_options
@_json_option
@config_option
def set_(name: str, *, as_json: bool, config_path: Path | None, **options: Any) -> None:
    """Change a rule of the database; what is not given stays."""
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415 - keeps --help quick

    changes = given(options)
    if not changes:
        raise click.UsageError("Give at least one setting.")
    with alerts_api(config_path, f"set {name}") as (api, _):
        made = api.patch(resource_path("alerts", "rules", name), {"settings": changes})
    say_made(made, f"Rule {name} was changed.", as_json=as_json)


@alerts.command()
@click.argument("name")
@config_option
def remove(name: str, config_path: Path | None) -> None:
    """Remove a rule of the database; what it told stays listed."""
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415 - keeps --help quick

    with alerts_api(config_path, f"remove {name}") as (api, _):
        api.delete(resource_path("alerts", "rules", name))
    click.echo(f"Rule {name} was removed.", err=True)


@alerts.command()
@click.argument("rule")
@click.option("--for", "until", help="How long: 2h, 3d; or until when, like 2027-01-31T08:00.")
@click.option("--reason", help="Why, for those who look later.")
@click.option("--end", is_flag=True, help="End the silence.")
@config_option
def silence(rule: str, until: str | None, reason: str | None, *, end: bool, config_path: Path | None) -> None:
    """Let a rule tell nothing for a while; what still holds then is told then."""
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.moments import moment_ms  # noqa: PLC0415
    from proxy.core.clock import SystemClock  # noqa: PLC0415
    from proxy.web.admin.moment import moment_text  # noqa: PLC0415

    if (until is None) is not end:
        raise click.UsageError("Give --for 2h, or --end.")
    path = resource_path("alerts", "silences", rule)
    with alerts_api(config_path, f"silence {rule}") as (api, settings):
        if until is None:
            api.delete(path)
            click.echo(f"Rule {rule} tells again.", err=True)
            return
        now_ms = SystemClock().now_ms()
        ends_ms = moment_ms(until, ZoneInfo(settings.timezone), now_ms, option="--for", ahead=True)
        made = api.put(path, {"until_at": moment_text(ends_ms), "reason": reason})
        click.echo(f"Rule {rule} tells nothing until {_time(made['until_at'], settings)}.", err=True)


@alerts.command()
@click.argument("name")
@_json_option
@config_option
def test(name: str, *, as_json: bool, config_path: Path | None) -> None:
    """Send a test to a destination, or to all of a rule, and say whether it arrived."""
    with alerts_api(config_path, f"test {name}") as (api, _):
        rules = {rule["name"] for rule in api.pages("/alerts/rules")}
        destinations = {"log", *(one["name"] for one in api.pages("/alerts/destinations"))}
        if name not in rules | destinations:
            raise click.ClickException(f"There is neither a destination nor a rule {name!r}.")
        body = {"destination": name} if name in destinations else {"rule": name}
        results = api.post("/alerts/tests", body)["results"]
    if as_json:
        click.echo(json.dumps(results, indent=2))
    for one in results if not as_json else ():
        said = "delivered" if one["delivered"] else f"not delivered: {one['problem']}"
        click.echo(f"{one['destination']}  {said}")
    if not all(one["delivered"] for one in results):
        raise SystemExit(1)


@alerts.command()
@click.option("--failed", is_flag=True, help="Only what was given up.")
@click.option("--limit", "count", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@_json_option
@config_option
def deliveries(*, failed: bool, count: int, as_json: bool, config_path: Path | None) -> None:
    """List what was told, to whom, and whether it arrived; the newest first."""
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick

    with alerts_api(config_path, "deliveries") as (api, settings):
        query = {"limit": count, **({"state": "failed"} if failed else {})}
        found = api.get("/alerts/deliveries", query)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("Nothing was given up." if failed else "Nothing was told yet.", err=True)
        return
    rows = [
        (one["id"], _time(one["made_at"], settings), one["destination"], one["state"], one["attempts"], _told(one))
        for one in found
    ]
    print_table(
        ("id", "told", "to", "state", "attempts", "what"),
        rows,
        right=frozenset(("id", "attempts")),
        whole=frozenset(("told", "state")),
    )


def _told(one: dict[str, Any]) -> str:
    return f"{one['title']} ({one['problem']})" if one["problem"] else str(one["title"])


@alerts.command()
@click.argument("delivery", type=int)
@config_option
def retry(delivery: int, config_path: Path | None) -> None:
    """Send again what was given up."""
    with alerts_api(config_path, f"retry {delivery}") as (api, _):
        found = api.post(f"/alerts/deliveries/{delivery}/retry")
    click.echo(f"Delivery {delivery} is sent again to {found['destination']}.", err=True)


alerts.add_command(destinations)
