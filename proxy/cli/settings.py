"""Find and read the configuration, the same for every command."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from proxy.config.load import Loaded, find_config, load_default, load_file

config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Configuration file (else $TOLLKEEPER_CONFIG, ./config.yaml, ...).",
)


def loader(config_path: Path | None, overrides: Mapping[str, str]) -> Callable[[], Loaded]:
    """Give a function that reads the configuration anew each time; it raises ConfigError."""
    path = find_config(config_path, os.environ, Path.cwd())

    def load() -> Loaded:
        if path is None:
            return load_default(os.environ, overrides)
        return load_file(path, os.environ, overrides)

    return load
