"""tollkeeper explain: where a request would go, what it could cost at most, and which limits apply to it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option

if TYPE_CHECKING:
    from proxy.config.schema import Settings

_LONGEST_S = 60.0  # a model that the list lacks makes the proxy fetch the list
_MESSAGES = [{"role": "user", "content": "Hello"}]


@click.command()
@click.argument("model", required=False)
@click.option("--user", help="Whose limits; default: a new user with only the default limits.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="The max_tokens of the request.")
@click.option(
    "--messages",
    type=click.File("rb"),
    help="JSON: a list of messages, or the whole body of a request; - is stdin. Default: one short message.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def explain(
    model: str | None,
    user: str | None,
    max_tokens: int | None,
    messages: Any,
    config_path: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show where a request for MODEL would go and what it could cost at most. Nothing is sent and no money is reserved.

    Without MODEL it is the one in --messages, else the user's default model.

    The running proxy is asked. If none is running, configuration, ledger and the last price list on disk are used.
    """
    from proxy.cli.running_proxy import ask_running  # noqa: PLC0415 - keeps --help quick

    body = _body(model, max_tokens, messages)
    settings = reading_settings(config_path)
    found = ask_running(settings, "explain", {"user": user, "body": body}, timeout_s=_LONGEST_S)
    if found is None:
        found = _without_proxy(settings, user, body)
        click.echo("No proxy runs: prices are those of the last list on disk.", err=True)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
    refusal = found["refusal"]
    if refusal is not None and refusal["code"] == "model_not_found":
        sys.exit(1)  # a mistyped name; what is refused for its cost was explained as asked


def _body(model: str | None, max_tokens: int | None, messages: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": _MESSAGES}
    if messages is not None:
        try:
            read = json.loads(messages.read())
        except ValueError:
            raise click.BadParameter("this is not valid JSON.", param_hint="--messages") from None
        if not isinstance(read, dict | list):
            raise click.BadParameter("a list of messages, or a whole body, is needed.", param_hint="--messages")
        body = read if isinstance(read, dict) else {"messages": read}
    more = {"model": model, "max_tokens": max_tokens}
    return {**body, **{name: value for name, value in more.items() if value is not None}}


def _without_proxy(settings: "Settings", user: str | None, body: dict[str, Any]) -> dict[str, Any]:
    import asyncio  # noqa: PLC0415 - keeps --help quick

    from proxy.cli.offline_explain import explain_offline  # noqa: PLC0415
    from proxy.core.errors import ApiError  # noqa: PLC0415

    try:
        return asyncio.run(explain_offline(settings, user, body))
    except ApiError as error:
        raise click.ClickException(error.message) from None


def _print(found: dict[str, Any]) -> None:
    from proxy.cli.table import print_table, printable  # noqa: PLC0415 - keeps --help quick

    several = len(found["targets"]) > 1
    for n, target in enumerate(found["targets"], 1):
        label = "Route" if n == 1 else ""
        click.echo(printable(f"{label:12}{n}. {target['model']} at {target['provider']}{_why(target, several)}"))
    for left in found["left_out"]:
        click.echo(printable(f"{'Left out':12}{left['model']} at {left['provider']}: {left['reason']}"))
    if found["note"]:
        click.echo(printable(f"{'Note':12}{found['note']}"))
    worst = found["worst_case"]
    if worst is not None:
        click.echo(f"{'Worst case':12}{_most(found)}")
    elif found["admitted"]:
        click.echo(f"{'Worst case':12}not known: there is no price for it")
    refusal = found["refusal"]
    if refusal is None:
        click.echo(f"{'Verdict':12}would be accepted")
    else:
        click.echo(printable(f"{'Verdict':12}refused ({refusal['status']} {refusal['code']}): {refusal['message']}"))
    if found["then"]:
        click.echo(printable(f"{'Then':12}{found['then']}"))
    if not found["limits"]:
        click.echo(f"{'Limits':12}none")
        return
    click.echo()
    names = ("scope", "kind", "window", "mode", "limit", "used", "reserved", "remaining", "resets_at")
    sys.stdout.flush()
    print_table(
        names,
        [
            tuple(_cell(_scope(limit) if name == "scope" else limit[name]) for name in names)
            for limit in found["limits"]
        ],
        right=frozenset(("limit", "used", "reserved", "remaining")),
    )


def _why(target: dict[str, Any], several: bool) -> str:
    """Return what matters about a target beside its name: that it is asked first, what speaks against it, its price."""
    words = ["asked first"] if target["chosen"] and several else []
    words += [f"breaker {target['breaker']}"] if target["breaker"] != "closed" else []
    words += [f"key: {target['key']}"] if target["key"] != "usable" else []
    words += [target["reason"]] if target["reason"] != "as configured" else []
    words += [_most(target)] if several and target["worst_case"] is not None else []
    return f" ({'; '.join(words)})" if words else ""


def _most(priced: dict[str, Any]) -> str:
    """Return the most that a target, or the whole of a route, can cost, and for how long an answer."""
    tokens = "" if priced["max_tokens"] is None else f", with max_tokens {priced['max_tokens']}"
    return f"${priced['worst_case']}{tokens}"


def _scope(limit: dict[str, Any]) -> str:
    return " ".join((limit["scope"], *(limit["models"] or ())))


def _cell(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
