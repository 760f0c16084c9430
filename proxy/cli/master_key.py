"""tollkeeper keys master: what seals every secret in the database."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from proxy.cli.secret_input import read_secret
from proxy.cli.settings import config_option, loader

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_phrase_option = click.option(
    "--passphrase-file", metavar="FILE", help="A file that holds the passphrase, - is stdin; without it you are asked."
)
_FILE_MAX_CHARS = 1 << 16


@click.group()
def master() -> None:
    """Make, rotate, copy and bring back the master key, which seals all secrets in the database.

    It stands in a file beside the database (secrets.master_key_file), in TOLLKEEPER_MASTER_KEY, or in systemd's
    credential tollkeeper-master-key. Without it no sealed secret can be opened: keep a copy elsewhere.
    """


@master.command()
@config_option
def init(config_path: Path | None) -> None:
    """Make the master key; refused while secrets in the database need another one."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    with admin_client(settings, "tollkeeper keys master init") as api:
        made = api.post("/master-key")
    click.echo(
        f"Master key {made['id']} was made: {made['file']}. Keep a copy elsewhere: tollkeeper keys master export",
        err=True,
    )


@master.command()
@_json_option
@config_option
def status(*, as_json: bool, config_path: Path | None) -> None:
    """Show where the master key stands, its id, and what it has sealed; exit code 1 where something does not open."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    with admin_client(settings, "tollkeeper keys master status") as api:
        found = api.get("/master-key")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print_status(found)
    if found["problem"] is not None or found["unopened"]:
        sys.exit(1)


def _print_status(found: dict[str, Any]) -> None:
    rotating = ", ".join(found["old"])
    values = ", ".join(f"{each['values']} by {each['master_key_id'] or 'no key at all'}" for each in found["values"])
    for title, value in (
        ("master key", found["id"] or "none"),
        ("stands in", ", ".join(found["where"]) or f"nothing; it would be {found['file']}"),
        ("problem", found["problem"]),
        ("rotating", f"from {rotating}: finish with tollkeeper keys master rotate --resume" if rotating else None),
        ("archive", ", ".join(found["archive"]) or None),
        ("sealed", values or "nothing yet"),
        ("unopened", str(found["unopened"]) if found["unopened"] else None),
    ):
        if value is not None:
            click.echo(f"{title:10} {value}")


@master.command()
@click.option("--resume", is_flag=True, help="Only finish a rotation that was cut; also take in an older back-up.")
@click.option("--forget", is_flag=True, help="Also remove retired master keys; older back-ups then need your copies.")
@config_option
def rotate(*, resume: bool, forget: bool, config_path: Path | None) -> None:
    """Seal everything anew with a new master key; cut at any point, --resume goes on from there."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    with admin_client(settings, "tollkeeper keys master rotate") as api:
        done = api.post("/master-key/rotate", {"resume": resume, "forget": forget})
    if done["resumed"] and not resume:
        click.echo("A rotation that was cut before was finished; no further one was begun.", err=True)
    click.echo(f"Master key {done['id']} has sealed {done['resealed']} values anew.", err=True)
    if done["unopened"]:
        click.echo(f"{done['unopened']} values do not open, and stay as they are: tollkeeper keys list", err=True)
    if done["archive"]:
        click.echo(
            f"Retired, and kept for older back-ups: {', '.join(done['archive'])}. To remove them: --resume --forget",
            err=True,
        )
    click.echo("Make a new copy: tollkeeper keys master export", err=True)


@master.command()
@_phrase_option
@config_option
def export(passphrase_file: str | None, config_path: Path | None) -> None:
    """Print a copy of the master key under a passphrase, for another place; import brings it back."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    phrase = read_secret(passphrase_file, "Passphrase for the copy", "--passphrase-file", repeat=True)
    with admin_client(settings, "tollkeeper keys master export") as api:
        made = api.post("/master-key/export", {"passphrase": phrase})
    click.echo(made["copy_text"], nl=False)
    click.echo(
        "Keep this line and the passphrase apart from the database and its back-ups. Who has all three has all keys.",
        err=True,
    )


@master.command("import")
@click.argument("file")
@_phrase_option
@click.option("--replace", is_flag=True, help="Put it in the place of another master key that is there.")
@config_option
def import_(file: str, passphrase_file: str | None, *, replace: bool, config_path: Path | None) -> None:
    """Bring a master key back from FILE (- is stdin): a copy made by export, or the key's own file."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.policy.sealing.passphrase import is_backup  # noqa: PLC0415

    settings = loader(config_path, {})().settings
    text = _read(file)
    phrase = None
    if is_backup(text):
        phrase = read_secret(passphrase_file, "Passphrase of the copy", "--passphrase-file")
    with admin_client(settings, "tollkeeper keys master import") as api:
        made = api.post("/master-key/import", {"text": text.strip(), "passphrase": phrase, "replace": replace})
    click.echo(f"Master key {made['id']} is back: {made['file']}.", err=True)
    if made["unopened"]:
        click.echo(f"{made['unopened']} values still do not open: tollkeeper keys master status", err=True)


def _read(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.read(_FILE_MAX_CHARS)
        with Path(file).open(encoding="utf-8", errors="replace") as opened:
            return opened.read(_FILE_MAX_CHARS)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}.") from None
