"""What a person types. Each command's file is imported when the command is used: --help stays quick."""

import contextlib
import errno
import gc
import importlib
import os
import sys
from typing import Any

import click

from proxy import __version__
from proxy.core.close_name import close_name
from proxy.core.errors import SetupError

# command -> (module, attribute, help); the help is here so that listing commands imports nothing
COMMANDS: dict[str, tuple[str, str, str]] = {
    "account": ("proxy.cli.account", "account", "Show credits, budgets and keys of the accounts at providers."),
    "adjustments": ("proxy.cli.adjustments", "adjustments", "List costs that became known late, and book some."),
    "alerts": ("proxy.cli.alerts", "alerts", "Show what is watched, add rules and destinations, silence, try out."),
    "audit": ("proxy.cli.audit", "audit", "Recompute the ledger from its rows; say what does not add up."),
    "backup": ("proxy.cli.backup", "backup", "Copy the ledger, also while the proxy runs."),
    "check": ("proxy.cli.check", "check", "Check configuration, provider keys and ledger without serving."),
    "config": ("proxy.cli.config", "config", "Show the settings, their schema, or an example file."),
    "dashboard": ("proxy.cli.dashboard", "dashboard", "Open the dashboard in a browser, logged in; list sessions."),
    "demo": ("proxy.cli.demo", "demo", "Start a simulated provider and the proxy, to try things out."),
    "doctor": ("proxy.cli.doctor", "doctor", "Try every endpoint of the providers with every key."),
    "explain": ("proxy.cli.explain", "explain", "Show where a request would go and what it could cost at most."),
    "export": ("proxy.cli.export", "export", "Write rows, sums or charges as CSV, JSON lines, Parquet or FOCUS."),
    "groups": ("proxy.cli.groups", "groups", "Add, list, change and remove groups of users."),
    "init": ("proxy.cli.init", "init", "Write a configuration, a first user and a token."),
    "keys": ("proxy.cli.keys", "keys", "Add, test, rotate and remove keys of providers, sealed in the database."),
    "models": ("proxy.cli.models", "models", "List, enable, disable, price and recommend models."),
    "providers": ("proxy.cli.providers", "providers", "List, enable and disable providers."),
    "operators": ("proxy.cli.operators", "operators", "Add, list, change and remove who may use the operator's API."),
    "reconcile": ("proxy.cli.reconcile", "reconcile", "Show the ledger beside the provider's bill, by class."),
    "report": ("proxy.cli.report", "report", "Show a month for finance, with a forecast; as text, HTML, CSV or JSON."),
    "requests": ("proxy.cli.requests", "requests", "List requests, refused ones too, newest first."),
    "resume": ("proxy.cli.resume", "resume", "Let go on what was stopped."),
    "limits": ("proxy.cli.limits", "limits", "Add, list, change and remove limits."),
    "serve": ("proxy.cli.serve", "serve", "Run the proxy."),
    "show": ("proxy.cli.show", "show", "Show one request with its attempts on a time line."),
    "status": ("proxy.cli.status", "status", "Show how the proxy is doing, on one screen."),
    "stop": ("proxy.cli.stop", "stop", "Stop somebody, a model, a provider or everything, at once."),
    "stops": ("proxy.cli.stops", "stops", "List what is stopped."),
    "sync": ("proxy.cli.sync", "sync", "Compare days of the ledger with the provider's bill now."),
    "tail": ("proxy.cli.tail", "tail", "Show the last requests, or each one as it ends."),
    "tokens": ("proxy.cli.tokens", "tokens", "Make, list, rotate, disable and remove users' tokens."),
    "usage": ("proxy.cli.usage", "usage", "Show what was spent, by user, model, day and more."),
    "users": ("proxy.cli.users", "users", "Add, list, change, disable and remove users."),
    "why": ("proxy.cli.why", "why", "Say in one paragraph what became of a request, and why."),
}


_OBJECTS_OF_IMPORTS = 100_000  # they are no garbage: looking through them took a tenth of the time of a start


class _Lazy(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            close = close_name(cmd_name, COMMANDS)
            if close is not None:
                ctx.fail(f"No such command {cmd_name!r}. Did you mean {close!r}?")
            return None
        command = getattr(importlib.import_module(entry[0]), entry[1])
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, _, help_) in sorted(COMMANDS.items())])


def _tell_version(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    """Print version and build, and end."""
    if not asked or context.resilient_parsing:
        return
    from proxy.cli.build_text import version_text  # noqa: PLC0415 - keeps --help quick
    from proxy.core.build import IS_COMPILED  # noqa: PLC0415

    click.echo(f"tollkeeper, version {version_text(__version__, is_compiled=IS_COMPILED)}")
    context.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version and exit.",
)
def tollkeeper() -> None:
    """A local proxy for language-model APIs: a budget for every user, every cent on record."""


def main(args: list[str] | None = None) -> Any:
    """Run a command of tollkeeper."""
    gc.set_threshold(_OBJECTS_OF_IMPORTS)
    run_program(tollkeeper, "tollkeeper", args)


def run_program(command: click.Command, name: str, args: list[str] | None = None) -> Any:
    """Run a command as a program of its own; a mistake that a person can mend is a text and an exit code."""
    try:
        code = _run(command, name, args)
        sys.stdout.flush()  # a full disk may show only when the buffer is flushed
    except SetupError as error:
        click.echo(f"{name}: {error}", err=True)
        code = error.exit_code
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        code = _refused(error, name)
    sys.exit(code)


_REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EPIPE})


def _run(command: click.Command, name: str, args: list[str] | None) -> int | str | None:
    try:
        command.main(args, prog_name=name, standalone_mode=True)
    except SystemExit as end:
        return end.code
    return 0


def _refused(error: OSError, name: str) -> int:
    """Report that output was refused; a pipe closed by its reader needs no report."""
    with contextlib.suppress(OSError, ValueError):  # the exit would try to write the rest of the buffer again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:
        what = error.filename or "Standard output"
        click.echo(f"{name}: {what} cannot be written: {os.strerror(error.errno or 0)}.", err=True)
    return 1
