"""The settings of a command that asks or stops: a mistake in the file keeps it not from the proxy that runs on."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from proxy.cli.settings import loader
from proxy.core.errors import ConfigError

if TYPE_CHECKING:
    from proxy.config.load import LoadedConfig
    from proxy.config.schema import Settings

_SETTING = r"^{}[ \t]*:[ \t]*[\"']?([^\"'#\n]+)"  # of a file that may be no YAML


def reading_settings(config_path: Path | None) -> "Settings":
    """Return the settings; of a file with a mistake what it takes to ask the running proxy, and say so.

    Raises ConfigError where no proxy runs that could answer.
    """
    return reachable_config(config_path).settings


def reachable_config(config_path: Path | None) -> "LoadedConfig":
    """Return the configuration, as reading_settings does."""
    from proxy.config.load import LoadedConfig  # noqa: PLC0415 - keeps --help quick

    try:
        return loader(config_path, {})()
    except ConfigError as error:
        settings = None if sys.platform == "win32" else _of_running_proxy(config_path)
        if settings is None:
            raise
        click.echo(f"tollkeeper: {error}", err=True)
        click.echo("The running proxy goes on with the configuration before that, and answers.", err=True)
        return LoadedConfig(settings, None, (), "")


def _of_running_proxy(config_path: Path | None) -> "Settings | None":
    """Return where the proxy of a broken file is, and its zone; None: none runs."""
    from proxy.cli.control_client import find_door  # noqa: PLC0415 - keeps --help quick
    from proxy.config.load import find_config  # noqa: PLC0415
    from proxy.config.schema import Settings  # noqa: PLC0415

    path = find_config(config_path, os.environ, Path.cwd())
    if path is None or not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    folder = path.absolute().parent
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    named = os.environ.get("TOLLKEEPER_DATABASE") or _setting(text, "database")
    database = folder / os.path.expandvars(named) if named else Path(state or folder) / "tollkeeper.db"
    settings = Settings(database=database)
    if find_door(settings) is None:
        return None
    zone = _setting(text, "timezone")
    try:
        return settings if zone is None else Settings(database=database, timezone=ZoneInfo(zone).key)
    except (ValueError, LookupError, OSError):  # the zone may be the mistake
        return settings


def _setting(text: str, name: str) -> str | None:
    found = re.search(_SETTING.format(name), text, re.MULTILINE)
    return None if found is None else found[1].strip()
