"""Read a secret that a person gives: from a file, stdin, or a terminal that does not show it; never an argument."""

import sys
from pathlib import Path

import click

_CHARS_MAX = 4096


def read_secret(file: str | None, title: str, option: str, *, repeat: bool = False) -> str:
    """Return a secret without the blanks around it; raises click.ClickException that never quotes it.

    file: None asks on the terminal, twice where repeat is set; - is the first line of stdin.
    """
    if file is None:
        if not sys.stdin.isatty():
            raise click.ClickException(f"There is no terminal to ask on. Give {option} FILE; - is stdin.")
        text = click.prompt(f"{title} (not shown)", hide_input=True, err=True, confirmation_prompt=repeat)
    else:
        text = _read(file, option)
    secret = str(text).strip()
    if not secret or len(secret) > _CHARS_MAX or not secret.isascii() or not secret.isprintable():
        source = option if file is not None else "What was typed"
        raise click.ClickException(f"{source} holds no secret: it must be one line of plain characters.")
    return secret


def _read(file: str, option: str) -> str:
    if file == "-":
        return sys.stdin.readline()
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as opened:
            return opened.read(_CHARS_MAX + 2)
    except OSError as error:
        raise click.ClickException(f"{option} {file} cannot be read: {error.strerror}.") from None
