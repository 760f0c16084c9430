"""Tables of the ledger beside the bill: by day, and by class."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

_MONEY = frozenset({"ledger", "bill", "stays", "drift", "difference", "booked since", "number"})


def print_days(days: Sequence[Mapping[str, Any]]) -> None:
    """Print what each day came to."""
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick

    if not days:
        click.echo("No day was compared.", err=True)
        return
    rows = [
        (
            one["day"],
            one["provider"],
            _usd(one["booked_pusd"]),
            _usd(one["billed_pusd"]),
            "history" if one["level"] == "history" else _usd(one["stays_pusd"], signed=True),
            "-" if one["level"] == "history" else _usd(one["drift_pusd"], signed=True),
        )
        for one in days
    ]
    headers = ("day", "provider", "ledger", "bill", "stays", "drift")
    print_table(headers, rows, right=_MONEY, whole=frozenset({"day"}))
    for one in days:
        if one["problem"]:
            click.echo(f"{one['day']} {one['provider']} was not compared whole: {one['problem']}", err=True)


def class_totals(days: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the classes of all days added up, in the order of the first."""
    found: dict[str, dict[str, Any]] = {}
    for one in days:
        for each in one["classes"]:
            known = found.setdefault(
                each["name"],
                {
                    "name": each["name"],
                    "meaning": each["meaning"],
                    "is_lasting": each["is_lasting"],
                    "amount_pusd": 0,
                    "number": 0,
                    "adjusted_pusd": 0,
                    "adjusted": 0,
                },
            )
            for name in ("amount_pusd", "number", "adjusted_pusd", "adjusted"):
                known[name] += each[name]
    return [*found.values()]


def print_classes(days: Sequence[Mapping[str, Any]]) -> None:
    """Print the difference of all days by class, with what was booked of each class since it was found."""
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick

    totals = class_totals(days)
    rows = [
        (
            each["name"],
            each["number"],
            _usd(each["amount_pusd"], signed=True),
            _usd(each["adjusted_pusd"], signed=True),
            "stays" if each["is_lasting"] else "-" if not each["amount_pusd"] else "drift",
        )
        for each in totals
    ]
    compared = [one for one in days if one["level"] != "history"]
    difference_pusd, stays_pusd, drift_pusd, billed_pusd, booked_pusd = (
        sum(one[f"{name}_pusd"] for one in compared) for name in ("difference", "stays", "drift", "billed", "booked")
    )
    adjusted_pusd = sum(each["adjusted_pusd"] for each in totals)
    total = (
        "total",
        sum(each["number"] for each in totals),
        _usd(difference_pusd, signed=True),
        _usd(adjusted_pusd, signed=True),
        "",
    )
    headers = ("class", "number", "difference", "booked since", "state")
    print_table(headers, rows, total=total, right=_MONEY, whole=frozenset({"class"}))
    both = f"the bill has {_usd(billed_pusd)}, the ledger {_usd(booked_pusd)}"
    click.echo(f"{len(compared)} days: {both}.", err=True)
    stays = f" {_usd(stays_pusd, signed=True)} of the difference stays, for both are right." if stays_pusd else ""
    click.echo(f"Drift: {_usd(drift_pusd, signed=True)}.{stays}", err=True)


def print_keys(keys: Sequence[Mapping[str, Any]]) -> None:
    """Print what providers have counted for each key, beside the ledger."""
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick

    if not keys:
        click.echo("No provider tells what it has counted for a key; OpenRouter does.", err=True)
        return
    rows = [
        (
            f"{one['provider']} {one['key']}",
            one["window"],
            _usd(one["billed_pusd"]),
            _usd(one["booked_pusd"]),
            _usd(one["difference_pusd"] - one["unexplained_pusd"], signed=True),
            _usd(one["unexplained_pusd"], signed=True),
        )
        for one in keys
    ]
    headers = ("key", "window", "provider", "ledger", "explained", "unexplained")
    print_table(headers, rows, right=frozenset(headers[2:]), whole=frozenset({"window"}))


def _usd(pusd: int, *, signed: bool = False) -> str:
    from proxy.core.money import pusd_to_usd  # noqa: PLC0415 - keeps --help quick

    sign = "-" if pusd < 0 else "+" if signed and pusd else ""
    return f"{sign}${pusd_to_usd(abs(pusd))}"
