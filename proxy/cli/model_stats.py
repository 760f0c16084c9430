"""tollkeeper models stats: how models answered."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option

_SORTS = ("requests", "success", "p50", "p95", "first", "speed", "cost", "fallback", "name")
_RIGHT = frozenset(("requests", "ok_%", "p50_s", "p95_s", "first_s", "tok/s", "usd_each", "fell_%"))


@click.command("stats")
@click.option(
    "--since", metavar="WHEN", default="7d", show_default=True, help="7d, 24h, today, this-month, a date; or all."
)
@click.option("--until", metavar="WHEN", help="Before this time.")
@click.option("--model", metavar="GLOB", help="A model, or provider/model; * stands for any text.")
@click.option(
    "--sort", type=click.Choice(_SORTS), default="requests", show_default=True, help="The best or most first."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def stats(
    since: str,
    until: str | None,
    model: str | None,
    sort: str,
    *,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Show how models answered: success, latency, first token, tokens a second, cost, fallbacks.

    Counted by whole hours of UTC. Percentiles come from histograms, and are at most 19 % off. tok/s counts from the
    first token on; first_s and tok/s are medians; fell_% is the share of its answers that a model gave in the place of
    another target.
    """
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = reading_settings(config_path)
    if not settings.database.exists():  # to ask would make one
        raise click.ClickException(f"{settings.database}: there is no ledger yet. The proxy makes it when it starts.")
    query = {"since": None if since == "all" else since, "until": until, "model": model}
    with admin_client(settings, "tollkeeper models stats") as api:
        found = sorted(api.pages("/models/stats", query), key=lambda one: _key(one, sort))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        _print(found)
    else:
        click.echo("Nothing was asked in this time.", err=True)


def _key(one: dict[str, Any], sort: str) -> tuple[float, str]:
    """Return what puts the best or the most first, and what nothing is known of last."""
    name = f"{one['provider']}/{one['model']}"
    value, sign = {
        "requests": (one["requests"], -1),
        "success": (one["success_share"], -1),
        "p50": (_of(one, "latency_ms", "p50"), 1),
        "p95": (_of(one, "latency_ms", "p95"), 1),
        "first": (_of(one, "first_token_ms", "p50"), 1),
        "speed": (_of(one, "tokens_a_second", "p50"), -1),
        "cost": (one["cost_a_request_pusd"], -1),
        "fallback": (one["fallback_share"], -1),
        "name": (0, 1),
    }[sort]
    return (float("inf") if value is None else sign * value, name)


def _of(one: dict[str, Any], measure: str, word: str) -> float | None:
    value: float | None = None if one[measure] is None else one[measure][word]
    return value


def _print(found: list[dict[str, Any]]) -> None:
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick

    headers = ("model", "requests", "ok_%", "p50_s", "p95_s", "first_s", "tok/s", "usd_each", "fell_%")
    rows = [
        (
            f"{one['provider']}/{one['model']}",
            one["requests"],
            _percent(one["success_share"]),
            _seconds(_of(one, "latency_ms", "p50")),
            _seconds(_of(one, "latency_ms", "p95")),
            _seconds(_of(one, "first_token_ms", "p50")),
            _speed(_of(one, "tokens_a_second", "p50")),
            _usd(one["cost_a_request_pusd"]),
            _percent(one["fallback_share"]),
        )
        for one in found
    ]
    print_table(headers, rows, right=_RIGHT)


def _percent(share: float | None) -> str | None:
    """Return a share in percent; 100.0 only where it is all."""
    if share is None:
        return None
    text = f"{share * 100:.1f}"
    return "99.9" if text == "100.0" and share < 1 else text


def _seconds(ms: float | None) -> str | None:
    return None if ms is None else f"{ms / 1000:.2f}"


def _speed(tokens: float | None) -> str | None:
    return None if tokens is None else f"{tokens:.0f}"


def _usd(pusd: int | None) -> str | None:
    """Return an amount with as many digits as say something, and no exponent: it is a mean."""
    if pusd is None:
        return None
    return f"{Decimal(f'{pusd / 1e12:.3g}'):f}" if pusd < 10**8 else f"{pusd / 1e12:.4f}"
