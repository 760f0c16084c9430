"""Find and read the configuration, the same for every command."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proxy.config.load import LoadedConfig

config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Configuration file (else $TOLLKEEPER_CONFIG, ./config.yaml, ...).",
)


def loader(config_path: Path | None, overrides: Mapping[str, str]) -> "Callable[[], LoadedConfig]":
    """Return a function that reads the configuration anew at each call; it raises ConfigError."""
    from proxy.config.load import find_config, load_default, load_file  # noqa: PLC0415 - 100 ms; --help stays quick

    path = find_config(config_path, os.environ, Path.cwd())

    def load() -> "LoadedConfig":
        if path is None:
            return load_default(os.environ, overrides)
        return load_file(path, os.environ, overrides)

    return load
