"""tollkeeper stop: let no more requests through, at once, of somebody, for something, or at all."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option
from proxy.cli.stop_selector import Selector, effect_text, selector_of, selector_options
from proxy.core.errors import LedgerError


@click.command()
@selector_options
@click.option("--cut", is_flag=True, help="Cut off what runs, too; it is settled. Without, it ends by itself.")
@click.option("--for", "for_", metavar="SPAN", help="End by itself after 30m, 2h, 1d, or at 2027-01-31T08:00.")
@click.option("--slow", metavar="RATE", help="Refuse nothing, but let in so many a minute, like 6/minute.")
@click.option("--downgrade", metavar="PRESET", help="Refuse nothing, but send requests by this preset.")
@click.option("--reason", metavar="TEXT", help="What clients are told.")
@click.option("--list", "lists", is_flag=True, help="Show what is stopped, as tollkeeper stops does.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def stop(
    for_: str | None,
    reason: str | None,
    slow: str | None,
    downgrade: str | None,
    config_path: Path | None,
    *,
    cut: bool,
    lists: bool,
    as_json: bool,
    **named: Any,
) -> None:
    """Stop requests: new ones get 503 with the reason, and those that wait too. In force when the command ends.

    It holds until tollkeeper resume, or for as long as --for says, through restarts. Where no proxy runs it holds from
    the next start on. With --slow or --downgrade requests go on, but slowly or by another preset.
    """
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    wanted = selector_of(named)
    if lists:
        from proxy.cli.stops import show_stops  # noqa: PLC0415

        if wanted is not None or cut or for_ or reason or slow or downgrade:
            raise click.UsageError("--list stops nothing: give no other option but --json with it.")
        show_stops(config_path, as_json=as_json)
        return
    if wanted is None:
        raise click.UsageError("Say what to stop: --user, --group, --token, --preset, --model, --provider or --all.")
    effect = _effect(slow, downgrade)
    if cut and effect:
        raise click.UsageError("--cut ends what runs: it does not go with --slow or --downgrade.")
    settings = reading_settings(config_path)
    fields = {"kind": wanted.kind, "subject": wanted.subject, "reason": reason, "cut": cut, **effect}
    with admin_client(settings, "tollkeeper stop") as api:
        made = api.post("/stops", {**fields, "ends_at": _moment(ZoneInfo(settings.timezone), for_)})
        listed = api.pages("/models") if wanted.kind == "model" else ()
        note = _unlisted(wanted.subject, [model["figures"] for model in listed if model["figures"]])
    click.echo(note, err=True, nl=bool(note))
    _report(wanted, made, as_json=as_json)


def _effect(slow: str | None, downgrade: str | None) -> dict[str, Any]:
    """Return the fields of another effect than to refuse; raises click.UsageError."""
    from proxy.config.diagnostic import SettingError  # noqa: PLC0415 - keeps --help quick
    from proxy.config.on_spent import parse_rate  # noqa: PLC0415

    if slow is not None and downgrade is not None:
        raise click.UsageError("Give --slow or --downgrade, not both.")
    if downgrade is not None:
        return {"effect": "downgrade", "preset": downgrade}
    if slow is None:
        return {}
    try:
        return {"effect": "slow", "a_minute": parse_rate(slow)}
    except SettingError as error:
        raise click.BadParameter(f"{error}.", param_hint="--slow") from None


def _unlisted(pattern: str, listed: Sequence[Mapping[str, Any]]) -> str:
    """Return a note on a pattern that no listed model has: any will do, but who is in a hurry mistypes."""
    from proxy.policy.nearest import nearest  # noqa: PLC0415 - keeps --help quick
    from proxy.policy.stop import is_model  # noqa: PLC0415

    if not listed or any(is_model(pattern, model["provider"], model["model"]) for model in listed):
        return ""
    close = nearest(pattern, {name for model in listed for name in (model["model"], model["name"])})
    meant = f'Did you mean "{close}"?' if close else "See: tollkeeper models list"
    return f'Note: no listed model has the name "{pattern}". {meant}'


def _moment(zone: ZoneInfo, text: str | None) -> str | None:
    """Return a moment ahead as the API takes it."""
    from proxy.cli.moments import moment_ms  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import SystemClock  # noqa: PLC0415
    from proxy.web.admin.moment import moment_text  # noqa: PLC0415

    if text is None:
        return None
    return moment_text(moment_ms(text, zone, SystemClock().now_ms(), option="--for", ahead=True))


def _report(wanted: Selector, made: dict[str, Any], *, as_json: bool) -> None:
    click.echo(json.dumps(made) if as_json else made["id"])
    done = effect_text(made)
    word = "Stopped" if done == "stop" else f"Set to {done}"
    click.echo(f"{word}: {wanted.what}. It may go on with: tollkeeper resume {made['id']}", err=True)
    if not made["is_durable"]:
        click.echo(
            "It is in force, but the disk refused it, so it would end with the proxy. It is written as soon as the disk"
            " takes it: free space, then look with: tollkeeper stops",
            err=True,
        )
        sys.exit(LedgerError.exit_code)
