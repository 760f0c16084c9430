"""tollkeeper demo: a simulated provider and the proxy on this machine; no key, no network, no cost."""

import asyncio
import contextlib
import secrets
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from msgspec import Struct

from proxy.cli.demo_config import DRAIN_S, GUEST_LIMIT, MARK, DemoKeys, demo_config
from proxy.cli.private_file import write_private
from proxy.core.errors import LedgerError, PortError, SetupError
from proxy.core.user_token import is_well_formed, new_token

if TYPE_CHECKING:
    from proxy.app import App
    from proxy.cli.demo_script import DemoWeeks
    from proxy.cli.logs import Output
    from proxy.pipeline.access_log import Ended, Line

_ABOUT_WEEKS = """
Its ledger begins with nine weeks of a family, a lab and a product. They are made up: people, requests and the bill
(tollkeeper demo --empty --dir D starts without them). {} has the tokens of these people.
"""


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder of config.yaml, demo.env and the ledger; a second run uses them again.",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the proxy: 8787, with --check a free one.")
@click.option("--empty", is_flag=True, help="Begin without made-up users and weeks.")
@click.option(
    "--timezone",
    "zone",
    default="UTC",
    show_default=True,
    callback=lambda _context, _option, value: _checked_zone(value),
    help="Where the days of a new ledger begin.",
)
@click.option("--check", is_flag=True, help="Make two calls with the openai package, compare the books, and end.")
def demo(folder: Path, port: int | None, zone: str, *, empty: bool, check: bool) -> None:
    """Start a simulated provider and the proxy; print how to call it; run until Ctrl-C.

    It needs no key and no network: answers are made up, costs are those of a real price list. A new ledger begins with
    nine weeks of a family, a lab and a product that are made up as well; with --empty and --check without them.
    """
    from proxy.cli.serve import run_loop  # noqa: PLC0415 - brings aiohttp; keeps --help quick
    from proxy.cli.simulated import simulator  # noqa: PLC0415

    chosen = port if port is not None else 0 if check else 8787
    folder = folder.absolute()
    options = DemoOptions(folder, chosen, zone, wants_weeks=not (empty or check), check=check)
    _make_folder(folder)
    _check_free(folder)
    keys = _keys(folder)
    with simulator() as url:
        sys.exit(run_loop(lambda: _run(options, url, keys)))


class DemoOptions(Struct, frozen=True):
    """What was asked for on the command line; port 0: a free one."""

    folder: Path
    port: int
    zone: str
    wants_weeks: bool
    check: bool


class _LaterLines:
    """The log of requests, silent until somebody can have made one."""

    def __init__(self, output: "Output") -> None:
        self._output = output
        self.is_open = False

    def write(self, entries: "Sequence[Ended | Line]") -> None:
        if self.is_open:
            self._output.write(entries)

    def set_level(self, level: str) -> None:
        self._output.set_level(level)


def _checked_zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter(f"{name!r} is not a time zone; write one as Europe/Stockholm.") from None


def _make_folder(folder: Path) -> None:
    config = folder / "config.yaml"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        foreign = config.exists() and not config.read_text(errors="replace").startswith(MARK)
    except OSError as error:
        raise SetupError(f"{folder}: {error.strerror}. Choose another folder: tollkeeper demo --dir D") from None
    if foreign:
        raise SetupError(f"{config} was not made by demo and was not changed. Choose another folder: --dir D")


def _check_free(folder: Path) -> None:
    """Refuse while another demo runs in the folder, before its files are touched. Raises LedgerError."""
    from proxy.storage.sqlite.lock import OwnerLock  # noqa: PLC0415 - keeps --help quick

    lock = OwnerLock(folder / "tollkeeper.db")
    try:
        lock.acquire("tollkeeper demo")
    except LedgerError as error:
        url = _read_env(folder / "demo.env").get("OPENAI_BASE_URL")
        where = f" at {url}" if url else ""
        raise LedgerError(
            f"{error} The demo is already running{where}: stop it, or take another folder: --dir D"
        ) from None
    lock.release()


def _read_env(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _keys(folder: Path) -> DemoKeys:
    found, guest = _read_env(folder / "demo.env"), _read_env(folder / "guest.env")
    admin_token = found.get("TOLLKEEPER_ADMIN_TOKEN", "")
    return DemoKeys(
        _token(found),
        _token(guest),
        admin_token if len(admin_token) >= 32 and admin_token.isalnum() else secrets.token_hex(24),
    )


def _token(env: dict[str, str]) -> str:
    token = env.get("OPENAI_API_KEY", "")
    return token if is_well_formed(token) else new_token()


async def _run(options: DemoOptions, url: str, keys: DemoKeys) -> int:
    from proxy.app import App  # noqa: PLC0415 - as above
    from proxy.app.collector import tune_collector  # noqa: PLC0415
    from proxy.app.switch_interval import shorten_switch_interval  # noqa: PLC0415
    from proxy.cli.demo_weeks import ask_now, tell_simulator, weeks_of  # noqa: PLC0415
    from proxy.cli.logs import set_up_logs  # noqa: PLC0415
    from proxy.config.load import LoadedConfig, load_file  # noqa: PLC0415

    folder, check = options.folder, options.check

    def load() -> LoadedConfig:
        return load_file(folder / "config.yaml", {})  # settings of the environment are for the real proxy

    kept = await weeks_of(options.folder, options.zone, wanted=options.wants_weeks)
    if kept is not None:
        await asyncio.to_thread(tell_simulator, url, kept.weeks)
    zone = options.zone if kept is None else kept.file.zone
    config = demo_config(url, options.port, keys, zone=zone, has_weeks=kept is not None)
    write_private(folder / "config.yaml", config)
    loaded = load()
    output = set_up_logs("warning" if check else "info", "auto")
    stop = _stop_event()
    lines = _LaterLines(output)
    app = App(load, None if check else lines)
    try:
        await app.start(loaded)
    except PortError as error:
        raise PortError(str(error).replace("tollkeeper serve", "tollkeeper demo")) from None
    try:
        tune_collector()
        shorten_switch_interval()
        base_url = f"http://127.0.0.1:{app.port}/v1"
        write_private(folder / "demo.env", _env(base_url, url, keys))
        write_private(folder / "guest.env", f"OPENAI_BASE_URL={base_url}\nOPENAI_API_KEY={keys.guest_token}\n")
        if check:
            from proxy.cli.demo_check import check_demo  # noqa: PLC0415 - needs the openai package

            return await asyncio.to_thread(check_demo, base_url, keys.token, url, folder / "tollkeeper.db")
        if kept is not None:
            output.set_level("error")  # of what comes now nobody has asked for anything
            await asyncio.to_thread(ask_now, base_url, kept.file.tokens)
            await _compare(app, kept.weeks)
            output.set_level("info")
        lines.is_open = True
        click.echo(_how_to_call(base_url, url, folder, keys, has_weeks=kept is not None))
        sys.stdout.flush()
        await stop.wait()
        click.echo("Stopping.", err=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(app.drain(), DRAIN_S)
        return 0
    finally:
        await app.close()


async def _compare(app: "App", weeks: "DemoWeeks") -> None:
    """Compare the weeks with the simulator's bill now: the proxy itself would begin in two minutes."""
    from proxy.providers.account.source import AccountError  # noqa: PLC0415 - as above

    for day in weeks.billed_days():
        try:
            await app.sync.sync("openrouter", day)
        except AccountError as error:
            click.echo(f"The bill of {day} could not be compared: {error}", err=True)
            return


def _stop_event() -> asyncio.Event:
    """Return an event that is set by Ctrl-C, SIGTERM or a closed terminal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(stop.set))
    else:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
    return stop


def _env(base_url: str, url: str, keys: DemoKeys) -> str:
    return (
        f"OPENAI_BASE_URL={base_url}\n"
        f"OPENAI_API_KEY={keys.token}\n"
        f"TOLLKEEPER_ADMIN_TOKEN={keys.admin_token}\n"
        f"SIMULATOR_URL={url}\n"
    )


def _how_to_call(base_url: str, url: str, folder: Path, keys: DemoKeys, *, has_weeks: bool) -> str:
    env = folder / "demo.env"
    weeks = _ABOUT_WEEKS.format(folder / "weeks.json") if has_weeks else ""
    return f"""
The proxy answers at {base_url}; behind it is a simulated provider ({url}). Nothing costs money.
{weeks}
  curl {base_url}/chat/completions \\
    -H "Authorization: Bearer {keys.token}" -H "Content-Type: application/json" \\
    -d '{{"model": "openai/gpt-5-mini", "messages": [{{"role": "user", "content": "Hello!"}}]}}'

  # your code does not change:   set -a; . '{env}'; set +a
  from openai import OpenAI
  answer = OpenAI(base_url="{base_url}", api_key="{keys.token}").chat.completions.create(
      model="openai/gpt-5-mini", messages=[{{"role": "user", "content": "Hello!"}}])
  print(answer.choices[0].message.content, answer.usage.cost)

  # the guest may spend {GUEST_LIMIT}: after a few answers comes a refusal, which says why and until when
  for n in 1 2 3 4 5 6 7 8; do curl -s {base_url}/chat/completions \\
    -H "Authorization: Bearer {keys.guest_token}" -H "Content-Type: application/json" \\
    -d '{{"model": "openai/gpt-5-mini", "messages": [{{"role": "user", "content": "Hello!"}}]}}'; echo; done

  # who spent what
  {_command()} usage --by user,model -c {shlex.quote(str(folder / "config.yaml"))}

  # the same in your browser, with what needs a look and a page for each user
  {_command()} dashboard -c {shlex.quote(str(folder / "config.yaml"))}

In a browser: {base_url.removesuffix("/v1")}/
Ctrl-C ends it.
"""


def _command() -> str:
    """Return how this program is called from a shell: by its name only where that is this very one."""
    own = Path(sys.executable).with_name("tollkeeper")
    found = shutil.which("tollkeeper")
    if found is not None and own.exists() and Path(found).resolve() == own.resolve():
        return "tollkeeper"
    return shlex.quote(str(own)) if own.exists() else f"{shlex.quote(sys.executable)} -m proxy"
