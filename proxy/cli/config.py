"""tollkeeper config: the schema, the settings in force, the example file."""

import json
import os
import sys
from pathlib import Path

import click

from proxy.core.errors import SetupError


@click.group()
def config() -> None:
    """Show settings, their schema and the example file."""


@config.command()
def schema() -> None:
    """Print the JSON Schema of config.yaml, for editors."""
    from proxy.config.show import json_schema  # noqa: PLC0415 - building the models takes longer than --help may

    click.echo(json.dumps(json_schema(), indent=2))


@config.command()
def example() -> None:
    """Print a configuration that names every setting, with comments."""
    from proxy.config.show import example as text  # noqa: PLC0415 - as above

    click.echo(text(), nl=False)


@config.command()
@click.option("-c", "--config", "path", type=click.Path(path_type=Path), help="The configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: settings, path, warnings, fingerprint.")
@click.option("--changed", is_flag=True, help="Leave out settings that have their default.")
def show(path: Path | None, *, as_json: bool, changed: bool) -> None:
    """Print every setting in force and where it comes from. Secrets are masked."""
    from proxy.config import show as shown  # noqa: PLC0415 - as above
    from proxy.config.load import find_config, load_default, load_file  # noqa: PLC0415

    try:
        found = find_config(path, os.environ, Path.cwd())
        loaded = load_file(found, os.environ) if found else load_default(os.environ)
    except SetupError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    rows = [row for row in shown.effective(loaded) if not (changed and row[2] == "default")]
    if as_json:
        document = {
            "path": str(loaded.path) if loaded.path else None,
            "fingerprint": loaded.fingerprint,
            "warnings": loaded.warnings,
            "settings": shown.as_json(loaded),
            "origins": {name: origin for name, _, origin in rows},
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"{loaded.path or 'no file'}  {loaded.fingerprint}", err=True)
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, value, origin in rows:
        text = value if isinstance(value, str) else json.dumps(value)
        click.echo(f"{name:<{width}}  {text}  ({origin})")


@config.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-c", "--config", "path", type=click.Path(path_type=Path), help="The configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of lines.")
def diff(file: Path, path: Path | None, *, as_json: bool) -> None:
    """Print what FILE would change if it took the configuration's place; secrets are never shown."""
    from proxy.cli.settings import loader  # noqa: PLC0415 - keeps --help quick
    from proxy.config.changes import changes  # noqa: PLC0415
    from proxy.config.load import load_file  # noqa: PLC0415

    told = changes(loader(path, {})().settings, load_file(file, os.environ).settings)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for line in told:
        click.echo(line)
    if not told:
        click.echo("Nothing would change.", err=True)
