"""The commands that pages tell people to type next: each is one that the command line takes."""

import re
import shlex
from pathlib import Path
from typing import Final

import click

from proxy.cli import tollkeeper
from proxy.core.alert_kinds import ALERT_KINDS_BY_NAME

TEMPLATES: Final = Path(__file__).resolve().parents[2] / "proxy" / "web" / "dashboard" / "templates"
COMMAND: Final = re.compile(r'"(tollkeeper [^"]+)"(?: ~ (\w))?|<code>(tollkeeper [^<{]+)</code>')


def test_commands_of_pages_can_be_typed() -> None:
    found = {
        (path.name, whole or in_text, "name" if more else "")
        for path in TEMPLATES.glob("*.html")
        for whole, more, in_text in COMMAND.findall(path.read_text())
    }
    assert len(found) > 6
    for page, command, more in sorted(found):
        words = shlex.split(f"{command}{more}")[1:]
        context = click.Context(tollkeeper)
        _, one, words = tollkeeper.resolve_command(context, words)
        while isinstance(one, click.Group) and words:
            _, one, words = one.resolve_command(click.Context(one), words)
        assert one is not None, (page, command)
        read = one.make_context(one.name, words)  # raises UsageError for what it does not take
        if "watch" in read.params:
            assert read.params["watch"] in ALERT_KINDS_BY_NAME, (page, command)
