"""tollkeeper doctor: what works at the providers, with which key, and what to do about the rest."""

import json
import shutil
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from proxy.cli.settings import config_option, loader

_RESULT = {True: "ok", False: "failed", None: "not tried"}


@click.command()
@click.argument("provider", required=False)
@click.option("--chat", is_flag=True, help="Ask each key for one short answer too; it costs a fraction of a cent.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def doctor(provider: str | None, *, chat: bool, as_json: bool, config_path: Path | None) -> None:
    """Try every endpoint of the providers with every key: what works, what it returned, and what to do.

    Of answers only the shape is shown, never a value. The exit code is 1 where something failed.
    """
    from proxy.cli.admin_client import PROVIDER_ANSWER_S, admin_client  # noqa: PLC0415 - keeps --help quick

    loaded = loader(config_path, {})()
    with admin_client(loaded.settings, "tollkeeper doctor", loaded, answer_s=PROVIDER_ANSWER_S) as api:
        found = api.post("/doctor", {"provider": provider, "chat": chat})
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print_build(found["build"])
        _print(found["tries"])
    if not found["is_good"]:
        sys.exit(1)


def _print_build(build: dict[str, Any]) -> None:
    """Print what asked the providers: the proxy that runs or, where none does, this program."""
    from proxy.cli.build_text import changed_text, version_text  # noqa: PLC0415 - keeps --help quick

    click.echo(f"tollkeeper {version_text(build['version'], is_compiled=build['is_compiled'])}")
    if build["changed_files"]:
        click.echo(click.wrap_text(changed_text(build["changed_files"]), _width() - 1))
    click.echo()


def _print(tries: list[dict[str, Any]]) -> None:
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick

    for number, (name, group) in enumerate(groupby(tries, lambda one: one["provider"])):
        click.echo(f"\n{name}" if number else name)
        asked = [*group]
        rows = [(one["key"], one["request"], _result(one), one["took_ms"], one["returned"] or None) for one in asked]
        print_table(("key", "request", "result", "ms", "returned"), rows, right=frozenset({"ms"}))
        for one in asked:
            if one["said"]:
                click.echo()
                _say(one)
    failed = sum(one["is_good"] is False for one in tries)
    if failed:
        click.echo(f"\n{failed} of {len(tries)} failed.", err=True)


def _say(one: dict[str, Any]) -> None:
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick

    place = "" if one["request"] == "-" else f"{one['key']}, {one['request']}: "
    click.echo(click.wrap_text(printable(f"{place}{one['said']}"), _width() - 1, "  ", "  "))


def _width() -> int:
    return max(shutil.get_terminal_size().columns, 40)


def _result(one: dict[str, Any]) -> str:
    status = f" {one['status']}" if one["is_good"] is False and one["status"] else ""
    return f"{_RESULT[one['is_good']]}{status}"
