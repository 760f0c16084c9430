"""What the commands of alerts have in common."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.reading_settings import reachable_config

if TYPE_CHECKING:
    from proxy.cli.admin_client import AdminClient
    from proxy.config.schema import Settings


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that were given."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }


@contextmanager
def alerts_api(config_path: Path | None, purpose: str) -> Iterator[tuple["AdminClient", "Settings"]]:
    from proxy.cli.admin_client import PROVIDER_ANSWER_S, admin_client  # noqa: PLC0415 - keeps --help quick

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, f"tollkeeper alerts {purpose}", loaded, answer_s=PROVIDER_ANSWER_S) as api:
        yield api, loaded.settings


def say_made(made: dict[str, Any], text: str, *, as_json: bool) -> None:
    click.echo(text, err=True)
    if as_json:
        click.echo(json.dumps(made))
