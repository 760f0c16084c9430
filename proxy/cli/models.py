"""tollkeeper models: what may be asked, at what price, and which model suits a job."""

import json
from pathlib import Path
from typing import Any

import click

from proxy.cli.model_stats import stats
from proxy.cli.reading_settings import reachable_config
from proxy.cli.settings import config_option

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_NEEDS = "What it must take, by commas: tools, vision, audio, files, json, structured, reasoning."
_LETTERS = {
    "tools": "tools",
    "vision": "vision",
    "audio": "audio",
    "files": "files",
    "structured": "schema",
    "reasoning": "reasoning",
}


@click.group()
def models() -> None:
    """List models, enable, disable and price them, and find the one that suits a job.

    NAME is a model as programs ask for it, like openai/gpt-5-mini; quoted, * stands for any text. A running proxy
    applies a change at once.
    """


@models.command("list")
@click.option("--provider", metavar="NAME", help="Of this provider.")
@click.option("--user", metavar="NAME", help="That this user may ask for.")
@click.option("--needs", metavar="WORDS", help=_NEEDS)
@click.option("--max-price", metavar="USD", help="At most this for a million tokens, three of input to one of output.")
@click.option("--context", metavar="TOKENS", help="With at least this context, like 200k.")
@_json_option
@config_option
def list_(
    provider: str | None,
    user: str | None,
    needs: str | None,
    max_price: str | None,
    context: str | None,
    *,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """List models with price, context, abilities, and whether they may be asked."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    loaded = reachable_config(config_path)
    query = {"provider": provider, "user": user, "needs": needs, "max_price": max_price, "context": context}
    with admin_client(loaded.settings, "tollkeeper models list", loaded) as api:
        found = list(api.pages("/models", query))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        _print(found)
    else:
        click.echo("There is no such model. Lists are fetched while the proxy runs: tollkeeper serve", err=True)


def _print(found: list[dict[str, Any]]) -> None:
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick

    rows = []
    for one in found:
        figures = one["figures"] or {}
        state = "" if one["enabled"] else "disabled"
        fee = one["request_price_usd"]
        abilities = figures.get("abilities") or {}
        can = " ".join(word for name, word in _LETTERS.items() if abilities.get(name))
        rows.append(
            (one["name"], figures.get("usd_per_million_tokens"), fee, figures.get("context_tokens"), can, state)
        )
    headers = ("model", "usd_per_m", "per_request", "context", "takes", "state")
    print_table(headers, rows, right=frozenset(("usd_per_m", "per_request", "context")))


@models.command()
@click.argument("name")
@_json_option
@config_option
def show(name: str, *, as_json: bool, config_path: Path | None) -> None:
    """Show what is known and said of a model."""
    entry = _entry(name, config_path)
    if as_json:
        click.echo(json.dumps(entry, indent=2))
        return
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick

    figures = entry["figures"] or {}
    lines = {
        "Model": entry["name"],
        "Enabled": "yes" if entry["enabled"] else f"no, by {entry['disabled_by']}",
        "Per request": None if entry["request_price_usd"] is None else f"${entry['request_price_usd']}",
        "Per million": None if not figures else f"${figures['usd_per_million_tokens'] or '?'} (3 in to 1 out)",
        "Context": figures.get("context_tokens"),
        "Takes": ", ".join(word for key, word in _LETTERS.items() if (figures.get("abilities") or {}).get(key)) or None,
        "Lately": _lately(figures),
        "Said": json.dumps(entry["settings"]) + f" ({entry['source']})" if entry["settings"] else None,
    }
    for label, value in lines.items():
        if value is not None:
            click.echo(printable(f"{label:13}{value}"))


def _lately(figures: dict[str, Any]) -> str | None:
    words = []
    if figures.get("latency_ms") is not None:
        words.append(f"{figures['latency_ms']} ms to the first content")
    if figures.get("error_rate") is not None:
        words.append(f"{figures['error_rate']:.0%} errors")
    if figures.get("breaker") not in (None, "closed"):
        words.append(f"breaker {figures['breaker']}")
    return ", ".join(words) or None


def _entry(name: str, config_path: Path | None) -> dict[str, Any]:
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, "tollkeeper models show", loaded) as api:
        entry: dict[str, Any] = api.get(resource_path("models", name))
    return entry


def _changed(name: str, changes: dict[str, Any], config_path: Path | None) -> dict[str, Any]:
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, "tollkeeper models", loaded) as api:
        entry: dict[str, Any] = api.patch(resource_path("models", name), changes)
    return entry


@models.command()
@click.argument("name")
@config_option
def enable(name: str, config_path: Path | None) -> None:
    """Let a model be asked again."""
    _changed(name, {"enabled": True}, config_path)
    click.echo(f"{name} may be asked.", err=True)


@models.command()
@click.argument("name")
@config_option
def disable(name: str, config_path: Path | None) -> None:
    """Refuse a model by name, and leave it out of presets and lists. What runs goes on to its end."""
    _changed(name, {"enabled": False}, config_path)
    click.echo(f"{name} is disabled. Undo it with: tollkeeper models enable '{name}'", err=True)


@models.command("set")
@click.argument("name")
@click.option("--request-price", metavar="USD", help="What each request costs, on top of what the provider charges.")
@click.option("--no-request-price", is_flag=True, help="Nothing on top.")
@click.option("--input-price", metavar="USD", help="A million input tokens; with --output-price.")
@click.option("--output-price", metavar="USD", help="A million output tokens.")
@click.option("--no-price", is_flag=True, help="The provider's own prices again.")
@_json_option
@config_option
def set_(
    name: str,
    request_price: str | None,
    input_price: str | None,
    output_price: str | None,
    *,
    no_request_price: bool,
    no_price: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Say what a model costs."""
    changes: dict[str, Any] = {}
    if request_price is not None or no_request_price:
        changes["request_price"] = None if no_request_price else request_price
    if no_price:
        changes["price"] = None
    elif input_price is not None or output_price is not None:
        if input_price is None or output_price is None:
            raise click.UsageError("Give --input-price and --output-price together.")
        changes["price"] = {"input": input_price, "output": output_price}
    if not changes:
        raise click.UsageError("Say what to set, such as --request-price 0.01.")
    entry = _changed(name, changes, config_path)
    click.echo(f"{name} was changed; requests that are let in from now on cost this.", err=True)
    if as_json:
        click.echo(json.dumps(entry))


@models.command()
@click.argument("name")
@config_option
def reset(name: str, config_path: Path | None) -> None:
    """Forget what was said of a name on the command line or over the API; the configuration stands."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, "tollkeeper models reset", loaded) as api:
        api.delete(resource_path("models", name))
    click.echo(f"{name} is as the configuration says.", err=True)


@models.command()
@click.option("--needs", metavar="WORDS", help=_NEEDS)
@click.option("--context", metavar="TOKENS", help="The context that the job takes, like 200k.")
@click.option("--max-price", metavar="USD", help="At most this for a million tokens, three of input to one of output.")
@click.option("--user", metavar="NAME", help="Whom it is for: only what they may ask for.")
@click.option("--messages", type=click.File("rb"), metavar="FILE", help="A JSON file with messages, or a whole body.")
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many to show.")
@_json_option
@config_option
def recommend(
    needs: str | None,
    context: str | None,
    max_price: str | None,
    user: str | None,
    messages: Any,
    top: int,
    *,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Rank the models for a job, each with its reasons. Nothing is sent to a provider."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    asked: dict[str, Any] = {"needs": needs, "context": context, "max_price": max_price, "user": user}
    job = _job(messages)
    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, "tollkeeper models recommend", loaded) as api:
        if job is None:
            found = api.get("/models/recommendations", asked)
        else:
            found = api.post("/models/recommendations", {**asked, "job": job})
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found["models"]:
        _print_ranked(found["models"], top)
    elif found["missing"]:
        raise click.ClickException(f"No model takes {' and '.join(found['missing'])}.")
    else:
        raise click.ClickException("There is no model to recommend. See: tollkeeper models list")


def _job(messages: Any) -> dict[str, Any] | None:
    if messages is None:
        return None
    try:
        read = json.loads(messages.read())
    except ValueError:
        raise click.BadParameter("this is not valid JSON.", param_hint="--messages") from None
    if not isinstance(read, dict | list):
        raise click.BadParameter("a list of messages, or a whole body, is needed.", param_hint="--messages")
    return read if isinstance(read, dict) else {"messages": read}


def _print_ranked(ranked: list[dict[str, Any]], top: int) -> None:
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick

    rows = [(one["rank"], one["name"], one["cost_usd"], "; ".join(one["reasons"])) for one in ranked[:top]]
    print_table(("rank", "model", "usd_a_job", "why"), rows, right=frozenset(("rank", "usd_a_job")))
    if len(ranked) > top:
        click.echo(f"And {len(ranked) - top} more: --top {len(ranked)}", err=True)


models.add_command(stats)
