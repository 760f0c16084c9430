"""tollkeeper init: a configuration, a first user and a token, so that serve can start."""

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from msgspec import Struct

from proxy.cli.private_file import write_private
from proxy.core.errors import LedgerError, SetupError
from proxy.core.user_token import PREFIX

if TYPE_CHECKING:
    from proxy.config.schema import Settings

_VARIABLE = "OPENROUTER_API_KEY"
_KEY_CHARS_MAX = 512
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._@+-]")


@click.command()
@click.option("--yes", is_flag=True, help="Ask nothing: the key comes from OPENROUTER_API_KEY or --key-file.")
@click.option("--force", is_flag=True, help="Replace config.yaml and openrouter.key. The ledger is kept.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to write; default: the current folder.",
)
@click.option("--key-file", help="A file that holds the OpenRouter key; - is stdin.")
@click.option("--user", help="Name of the first user; default: your name on this machine.")
@click.option("--user-limit", metavar="LIMIT", help="What each user may spend, like '$5/day'; none: no limit.")
@click.option("--total-limit", metavar="LIMIT", help="What all may spend together, like '$100/month'; none: no limit.")
@click.option("--no-test", is_flag=True, help="Write it without asking OpenRouter what the key may do.")
def init(
    folder: Path,
    key_file: str | None,
    user: str | None,
    user_limit: str | None,
    total_limit: str | None,
    *,
    yes: bool,
    force: bool,
    no_test: bool,
) -> None:
    """Write config.yaml, make the ledger with a first user, and print their token.

    Then it asks OpenRouter what the key may do, and says so; where OpenRouter cannot be reached, nothing fails.

    The key is never taken from an option: others could read it in the list of processes.
    """
    from proxy.cli.actor import actor  # noqa: PLC0415 - keeps --help quick

    folder = folder.absolute()
    _check_free(folder, force=force)
    is_asked = not yes and sys.stdin.isatty()
    given = [_limit(text) for text in (user_limit, total_limit)]
    key = _key(key_file, os.environ, ask=is_asked)
    limits = _Limits(
        given[0] or _asked_limit("Most that each user may spend", "$5/day", ask=is_asked),
        given[1] or _asked_limit("Most that all may spend together", "$100/month", ask=is_asked),
    )
    name = user or _NOT_IN_NAMES.sub("", actor())[:64] or "me"
    made = _files(key, limits)
    _write(folder, made)
    try:
        token = _first_token(_settings(folder), name)
    except BaseException:
        if not force:  # nothing was here before: leave nothing behind
            for file in made:
                (folder / file).unlink(missing_ok=True)
        raise
    _say(folder, name, key, limits, token)
    if not no_test:
        _say_key_report(folder)
    _say_next(folder, key)


def _check_free(folder: Path, *, force: bool) -> None:
    for file in ("config.yaml", "openrouter.key"):
        if (folder / file).exists() and not force:
            raise SetupError(
                f"{folder / file} exists already and was not changed. Choose another folder (--dir), or replace it"
                " with --force; the ledger is kept either way."
            )


# --- the key


class _Key(Struct, frozen=True):
    text: str
    from_variable: bool


def _key(key_file: str | None, environ: Mapping[str, str], *, ask: bool) -> _Key:
    if key_file is not None:
        return _Key(_checked(_read(key_file), key_file), from_variable=False)
    if environ.get(_VARIABLE):
        return _Key(_checked(environ[_VARIABLE], _VARIABLE), from_variable=True)
    if not ask:
        raise SetupError(
            f"There is no key, and no terminal to ask for one. Set {_VARIABLE}, or give --key-file FILE (- is stdin)."
            " Create a key at https://openrouter.ai/keys"
        )
    click.echo("Create a key at https://openrouter.ai/keys", err=True)
    return _Key(
        _checked(click.prompt("OpenRouter key (not shown)", hide_input=True, err=True), "The key"), from_variable=False
    )


def _read(key_file: str) -> str:
    if key_file == "-":
        return sys.stdin.readline()
    try:
        with Path(key_file).open(encoding="utf-8", errors="replace") as file:
            return file.read(_KEY_CHARS_MAX + 2)
    except OSError as error:
        raise SetupError(f"{key_file} cannot be read: {error.strerror}. It must hold the key.") from None


def _checked(text: str, source: str) -> str:
    """Return a key without surrounding blanks; raise with what is wrong, never quoting it."""
    key = text.strip()
    if not key or len(key) > _KEY_CHARS_MAX or not key.isascii() or not key.isprintable() or " " in key:
        raise SetupError(f"{source} holds no key: it must be one line of plain characters without blanks.")
    if key.startswith(PREFIX):
        raise SetupError(f"{source} holds a token of Tollkeeper. Use your OpenRouter key (sk-or-...).")
    if not key.startswith("sk-or-"):
        click.echo("Note: keys of OpenRouter begin with sk-or-; tollkeeper check tells whether it works.", err=True)
    return key


# --- the limits

_NO_LIMIT = "none"


class _Limits(Struct, frozen=True):
    """Each as it is written in the configuration, or "none"."""

    user: str
    total: str


def _limit(text: str | None) -> str | None:
    """Return a limit on cost as it was typed; a bare amount is one a day. Raises click.BadParameter."""
    from proxy.config.diagnostic import SettingError  # noqa: PLC0415
    from proxy.config.limit import parse_limit  # noqa: PLC0415 - keeps --help quick

    if text is None or text.strip().lower() in (_NO_LIMIT, "no", "n", "0", "$0"):
        return None if text is None else _NO_LIMIT
    amount, slash, window = text.strip().removeprefix("$").partition("/")
    limit = f"${amount.strip()}/{window.strip() if slash else 'day'}"
    try:
        parse_limit("cost", limit)
    except SettingError as error:
        raise click.BadParameter(f"{text!r} {error}. Write it like $5/day, or none.") from None
    return limit


def _asked_limit(what: str, usual: str, *, ask: bool) -> str:
    """Return what is answered, or the usual one where nobody is there to ask."""
    if not ask:
        return usual
    found: str = click.prompt(
        f"{what} (none: no limit)", default=usual, value_proc=lambda text: _limit(text) or _NO_LIMIT, err=True
    )
    return found


# --- the files


def _files(key: _Key, limits: _Limits) -> dict[str, str]:
    """Return every file by name, the configuration last: its existence means that init was run."""
    from proxy.config.show import json_schema  # noqa: PLC0415 - building the models takes longer than --help may

    files = {"config.schema.json": json.dumps(json_schema(), indent=1) + "\n"}
    if key.from_variable:
        return {**files, "config.yaml": _config(f"api_key: ${{{_VARIABLE}}}", limits)}
    return {**files, "openrouter.key": key.text + "\n", "config.yaml": _config("api_key_file: openrouter.key", limits)}


def _config(key_line: str, limits: _Limits) -> str:
    total = f"limits: {{cost: {limits.total}}}"
    user = f"limits: {{cost: {limits.user}}}"
    return f"""# yaml-language-server: $schema=./config.schema.json
# Every setting, with comments: tollkeeper config example. A change takes effect within a second.

server: {{host: 127.0.0.1, port: 8787}}
database: ./tollkeeper.db            # users, tokens, and what was spent
timezone: {_timezone():27}# where days and months begin

providers:
  openrouter:
    {key_line}

{_line(total, limits.total)}# all together
{_line("defaults:", limits.user)}# each user
{_line("  " + user, limits.user)}# several: [$2/day, $20/month]

# presets:                           # virtual models: clients ask for "fast"
#   fast: [openai/gpt-5-mini]
"""


def _line(text: str, limit: str) -> str:
    """Return a line with room for a comment behind it; a comment itself where there is no limit."""
    return f"{'# ' if limit == _NO_LIMIT else ''}{text.replace(_NO_LIMIT, '$5/day')}".ljust(37)


def _timezone() -> str:
    """Return the time zone of this machine; UTC if it is unknown."""
    _, found, name = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")
    if not found or name == "Etc/UTC":
        return "UTC"
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError):
        return "UTC"


def _write(folder: Path, files: Mapping[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_private(folder / name, text)
    except OSError as error:
        raise SetupError(f"{folder}: cannot be written ({error.strerror}). Choose another folder: --dir D") from None


# --- the first user


def _settings(folder: Path) -> "Settings":
    from proxy.config.load import load_file  # noqa: PLC0415 - as above

    return load_file(folder / "config.yaml", os.environ).settings


def _first_token(settings: "Settings", name: str) -> dict[str, Any]:
    from proxy.cli.control_client import operator  # noqa: PLC0415 - as above
    from proxy.cli.stored_rows import database_rows  # noqa: PLC0415

    known = any(user["name"] == name for user in database_rows(settings).users)  # a ledger that was kept
    with operator(settings, "tollkeeper init") as do:
        if not known:
            do("users.add", {"name": name})
        token: dict[str, Any] = do("tokens.add", {"user": name})
    return token


def _say(folder: Path, name: str, key: _Key, limits: _Limits, token: dict[str, Any]) -> None:
    from proxy.cli.users import say_token  # noqa: PLC0415 - as above

    config = folder / "config.yaml"
    click.echo(
        f"Wrote {config}{'' if key.from_variable else ' and openrouter.key (mode 0600)'},"
        " and config.schema.json, by which editors complete and check it.",
        err=True,
    )
    click.echo(
        f"Each user may spend {_told(limits.user)}, all together {_told(limits.total)}:"
        " change limits and defaults.limits there.",
        err=True,
    )
    say_token(name, token)


def _say_key_report(folder: Path) -> None:
    from proxy.cli.admin_client import PROVIDER_ANSWER_S, admin_client  # noqa: PLC0415 - as above
    from proxy.cli.key_report import say_key_report  # noqa: PLC0415

    try:
        with admin_client(_settings(folder), "tollkeeper init", answer_s=PROVIDER_ANSWER_S) as api:
            say_key_report(api, "openrouter")
    except LedgerError as error:  # all that was to be made is there
        click.echo(f"OpenRouter was not asked what the key may do: {error}", err=True)


def _say_next(folder: Path, key: _Key) -> None:
    config = folder / "config.yaml"
    here = folder == Path.cwd()
    option = "" if here else f" -c '{config}'"
    kept = f"\n  ({_VARIABLE} must be set for it, as it is now)" if key.from_variable else ""
    click.echo(
        f"""
Next:
  tollkeeper check{option}
  tollkeeper serve{option}{kept}
  export OPENAI_BASE_URL=http://127.0.0.1:8787/v1 OPENAI_API_KEY=<the token above>""",
        err=True,
    )


def _told(limit: str) -> str:
    return "without a limit" if limit == _NO_LIMIT else f"at most {limit}"
