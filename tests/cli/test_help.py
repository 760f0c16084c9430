"""Every command explains itself, quickly, and stands in docs/reference/cli.md."""

import subprocess
import sys

import click
import pytest

from proxy.cli import tollkeeper
from tests.cli.command_line import ROOT, CommandLine


def _paths(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    inner = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [path, *(found for name, sub in inner if sub is not None for found in _paths(sub, (*path, name)))]


PATHS = _paths(tollkeeper)


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help(path: tuple[str, ...]) -> None:
    from click.testing import CliRunner

    for option in ("-h", "--help"):
        ran = CliRunner().invoke(tollkeeper, [*path, option])
        assert ran.exit_code == 0, ran.output
        assert "Usage:" in ran.output


@pytest.mark.parametrize("path", PATHS[1:], ids=" ".join)
def test_every_command_and_option_is_documented(path: tuple[str, ...]) -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert f"tollkeeper {' '.join(path)}" in page
    command: click.Command | None = tollkeeper
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[-1] in page, parameter.opts


def test_a_command_that_is_not_there(cli: CommandLine) -> None:
    ran = cli.run("usrs")
    assert ran.returncode == 2
    assert "No such command" in ran.stderr


@pytest.mark.parametrize("path", [("users",), ("tokens", "add"), ("usage",), ("export",), ("init",), ("demo",)])
def test_help_imports_nothing_heavy(path: tuple[str, ...]) -> None:
    """No settings models, no HTTP, no drawing: what a command does not need yet costs its --help nothing."""
    code = (
        "import sys, proxy.cli\n"
        f"try: proxy.cli.main([*{path!r}, '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'pydantic', 'aiohttp', 'rich', 'sqlite3', 'openai'} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert ran.stderr.strip() == "[]"
