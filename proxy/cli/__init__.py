"""What a person types. Each command's file is imported when the command is used: --help stays quick."""

import importlib
import sys
from typing import Any

import click

from proxy import __version__
from proxy.core.errors import SetupError

# command -> (module, attribute, help); the help stands here so that listing imports nothing
COMMANDS: dict[str, tuple[str, str, str]] = {
    "audit": ("proxy.cli.audit", "audit", "Recompute the ledger from its rows; say what does not add up."),
    "backup": ("proxy.cli.backup", "backup", "Copy the ledger, also while the proxy runs."),
    "check": ("proxy.cli.check", "check", "Check configuration, provider keys and ledger without serving."),
    "config": ("proxy.cli.config", "config", "Show the settings, their schema, or an example file."),
    "demo": ("proxy.cli.demo", "demo", "Start a simulated provider and the proxy, to try things out."),
    "explain": ("proxy.cli.explain", "explain", "Show where a request would go and what it could cost at most."),
    "export": ("proxy.cli.export", "export", "Write the ledger's rows as CSV or JSON lines."),
    "init": ("proxy.cli.init", "init", "Write a configuration, a first user and a token."),
    "serve": ("proxy.cli.serve", "serve", "Run the proxy."),
    "tokens": ("proxy.cli.tokens", "tokens", "Make, list, rotate, disable and remove users' tokens."),
    "usage": ("proxy.cli.usage", "usage", "Show what was spent, by user, model, day and more."),
    "users": ("proxy.cli.users", "users", "Add, list, change, disable and remove users."),
}


class _Lazy(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(entry[0]), entry[1])
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, _, help_) in sorted(COMMANDS.items())])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tollkeeper")
def tollkeeper() -> None:
    """Keep a local door to language models: quotas for each user, every cent in one ledger."""


def main(args: list[str] | None = None) -> Any:
    """Run a command; a mistake that a person can mend is a text and an exit code, not a traceback."""
    try:
        tollkeeper.main(args, prog_name="tollkeeper", standalone_mode=True)
    except SetupError as error:
        click.echo(f"tollkeeper: {error}", err=True)
        sys.exit(error.exit_code)
