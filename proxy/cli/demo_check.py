"""tollkeeper demo --check: two real calls, the two rows of the ledger, and the simulator's books beside them."""

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from proxy.cli.table import print_table
from proxy.core.errors import SetupError
from proxy.core.money import pusd_to_usd, usd_to_pusd
from proxy.storage.export import Selection
from proxy.storage.sqlite.reports import open_reports

_MODEL = "openai/gpt-5-mini"
_ANSWER_S = 30.0
_SHOWN = (
    "request_id",
    "user",
    "model",
    "status",
    "state",
    "input_tokens",
    "output_tokens",
    "cost_pusd",
    "cost_source",
    "streamed",
    "generation_id",
)
_NUMBERS = frozenset({"status", "input_tokens", "output_tokens", "cost_usd", "streamed"})


def check_demo(base_url: str, token: str, simulator_url: str, database: Path) -> int:
    """Call plain and streamed, print what the ledger says, compare; give the exit code: 0, or 1 with what differs."""
    openai = _openai()
    try:
        calls = [_plain(openai, base_url, token), _streamed(openai, base_url, token)]
    except openai.OpenAIError as error:
        click.echo(f"failed: the openai package could not call {base_url}: {error}", err=True)
        return 1
    rows = _rows(database, [call["request_id"] for call in calls])
    _print(rows)
    problems = _compare(calls, rows, _books(simulator_url))
    for problem in problems:
        click.echo(f"differs: {problem}", err=True)
    if problems:
        return 1
    click.echo("Both rows are settled, and the simulator's own books agree with them to the pico-dollar.", err=True)
    return 0


def _openai() -> Any:
    try:
        import openai  # noqa: PLC0415 - a development dependency; only this check needs it
    except ImportError:
        raise SetupError(
            "The openai package is not installed; demo --check calls the proxy with it. Run scripts/demo --check,"
            " or: pip install openai"
        ) from None
    return openai


def _client(openai: Any, base_url: str, token: str) -> Any:
    # the calls stay on this machine, whatever proxy the environment names
    return openai.OpenAI(
        base_url=base_url,
        api_key=token,
        max_retries=0,
        timeout=_ANSWER_S,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )


def _plain(openai: Any, base_url: str, token: str) -> dict[str, Any]:
    with _client(openai, base_url, token) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=_MODEL, messages=[{"role": "user", "content": "Say hello."}]
        )
        answer = raw.parse()
    return _called("plain", raw.headers["x-request-id"], answer.choices[0].message.content, answer.usage)


def _streamed(openai: Any, base_url: str, token: str) -> dict[str, Any]:
    text, usage = "", None
    with _client(openai, base_url, token) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=_MODEL, messages=[{"role": "user", "content": "Say hello, word by word."}], stream=True
        )
        for chunk in raw.parse():
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            usage = chunk.usage or usage
    return _called("streamed", raw.headers["x-request-id"], text, usage)


def _called(kind: str, request_id: str, text: str | None, usage: Any) -> dict[str, Any]:
    cost = getattr(usage, "cost", None)
    click.echo(f"{kind:9} {len(text or '')} characters, usage.cost {cost}")
    return {"kind": kind, "request_id": request_id, "cost": cost}


def _rows(database: Path, request_ids: list[str]) -> list[dict[str, Any]]:
    slices = open_reports(database).export(Selection(_SHOWN))
    rows = [dict(zip(_SHOWN, row, strict=True)) for piece in slices for row in piece.rows]
    return [row for row in rows if row["request_id"] in request_ids]


def _print(rows: list[dict[str, Any]]) -> None:
    headers = [name.replace("cost_pusd", "cost_usd") for name in _SHOWN]
    cells = [
        [pusd_to_usd(row[name]) if name == "cost_pusd" and row[name] is not None else row[name] for name in _SHOWN]
        for row in rows
    ]
    print_table(headers, cells, right=_NUMBERS)


def _books(simulator_url: str) -> dict[str, Any]:
    address = urlsplit(simulator_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/_sim/books")
        generations: dict[str, Any] = json.loads(connection.getresponse().read())["generations"]
    finally:
        connection.close()
    return generations


def _compare(calls: list[dict[str, Any]], rows: list[dict[str, Any]], books: dict[str, Any]) -> list[str]:
    """Return what is wrong: each call needs a row, settled at the provider's figure, as charged and as reported."""
    problems = []
    by_id = {row["request_id"]: row for row in rows}
    for call in calls:
        kind, row = call["kind"], by_id.get(call["request_id"])
        if row is None:
            problems.append(f"the {kind} call {call['request_id']} has no row in the ledger")
            continue
        if (row["state"], row["cost_source"]) != ("settled", "provider"):
            problems.append(f"the {kind} call is {row['state']} with cost source {row['cost_source']}")
        entry = books.get(row["generation_id"] or "")
        if entry is None:
            problems.append(f"the {kind} call's generation {row['generation_id']} is not in the simulator's books")
        elif entry["charged_pusd"] != row["cost_pusd"]:
            problems.append(
                f"the {kind} call cost {entry['charged_pusd']} pico-USD in the books, {row['cost_pusd']} in the ledger"
            )
        if call["cost"] is None or usd_to_pusd(repr(call["cost"])) != (row["cost_pusd"], True):
            problems.append(f"the {kind} answer says {call['cost']} USD, the ledger {row['cost_pusd']} pico-USD")
    return problems
