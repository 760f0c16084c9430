"""tollkeeper serve: run the proxy until it is told to stop."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import click

from proxy import __version__
from proxy.app import App
from proxy.app.collector import tune_collector
from proxy.app.switch_interval import shorten_switch_interval
from proxy.cli.actor import actor
from proxy.cli.build_text import changed_text, version_text
from proxy.cli.logs import Output, set_up_logs
from proxy.cli.settings import config_option, loader
from proxy.config.load import LoadedConfig
from proxy.core.build import IS_COMPILED, changed_files
from proxy.core.core_dumps import forbid_core_dumps
from proxy.core.errors import LedgerError
from proxy.storage.audit import PROXY

_BROKEN_S = 10.0  # how long a broken proxy still answers 503, so that open requests end and /readyz shows the fault


@click.command()
@config_option
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.")
def serve(config_path: Path | None, host: str | None, port: int | None) -> None:
    """Run the proxy.

    Ctrl-C or SIGTERM lets open requests finish; a second one aborts them. SIGHUP reads the configuration again, which
    also happens by itself when the file changes.
    """
    started_s = time.perf_counter()
    overrides = {
        name: str(value) for name, value in (("server.host", host), ("server.port", port)) if value is not None
    }
    forbid_core_dumps()
    load = loader(config_path, overrides)
    loaded = load()
    output = set_up_logs(loaded.settings.log.level, loaded.settings.log.format)
    sys.exit(run_loop(lambda: _serve(load, loaded, output, started_s)))


def run_loop(main: Callable[[], Coroutine[None, None, int]]) -> int:
    """Run a coroutine on uvloop where there is one."""
    if sys.platform == "win32":
        return asyncio.run(main())
    import uvloop  # noqa: PLC0415 - not there on Windows

    return uvloop.run(main())


async def _serve(load: Callable[[], LoadedConfig], loaded: LoadedConfig, output: Output, started_s: float) -> int:
    stop = asyncio.Event()
    cut = asyncio.Event()
    app = App(load, output)
    await app.start(loaded)
    tune_collector()
    shorten_switch_interval()
    _on_signals(app, stop, cut)
    if loaded.path is None and len(app.live.current.directory) == 0:
        await _first_token(app)
    _say_ready(app, loaded, time.perf_counter() - started_s)
    if not await _told_to_stop(app, stop):
        click.echo("A part of the proxy has broken: see the log. Stopping.", err=True)
    click.echo("Stopping: no new requests; open ones finish. A second signal aborts them.", err=True)
    draining = asyncio.ensure_future(app.drain())
    cutting = asyncio.ensure_future(cut.wait())
    await asyncio.wait((draining, cutting), return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, cutting):
        task.cancel()
    await asyncio.gather(draining, cutting, return_exceptions=True)
    await app.close()
    if app.unwritten:
        click.echo(
            f"{app.unwritten} requests ended and could not be written: the disk refuses. The next start settles them.",
            err=True,
        )
    return LedgerError.exit_code if app.unwritten or app.broken.is_set() else 0


async def _told_to_stop(app: App, stop: asyncio.Event) -> bool:
    """Wait for the word to stop. False: a part has broken, and time was left for all to see that nothing works."""
    told, broken = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(app.broken.wait())
    await asyncio.wait((told, broken), return_when=asyncio.FIRST_COMPLETED)
    if broken.done() and not told.done():
        await asyncio.wait((told,), timeout=_BROKEN_S)
    was_told = told.done()
    for task in (told, broken):
        task.cancel()
    await asyncio.gather(told, broken, return_exceptions=True)
    return was_told


async def _first_token(app: App) -> None:
    """Create a first user and print a token if there is neither a configuration file nor any user."""
    name = actor()
    now_ms = app.services.clock.now_ms()
    await app.change("users.add", now_ms=now_ms, actor=PROXY, fields={"name": name})
    made = await app.change("tokens.add", now_ms=now_ms, actor=PROXY, fields={"user": name})
    click.echo(f"Made user {name!r}. The token is shown once; it goes where an OpenAI key would:", err=True)
    click.echo(made["token"])


def _on_signals(app: App, stop: asyncio.Event, cut: asyncio.Event) -> None:
    def told_to_stop() -> None:
        (cut if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(told_to_stop))
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop)
    loop.add_signal_handler(signal.SIGHUP, app.live.reload_now)


def _say_ready(app: App, loaded: LoadedConfig, took_s: float) -> None:
    settings = loaded.settings
    host = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
    url = f"http://{host}:{app.port}/v1"
    where = str(loaded.path) if loaded.path else "no configuration file"
    version = version_text(__version__, is_compiled=IS_COMPILED)
    counts = f"{_count(len(settings.providers), 'provider')}, {_count(len(settings.presets), 'preset')}"
    lines = [
        f"tollkeeper {version}   {where} ({counts}, {_count(len(app.live.current.directory), 'token')})",
        "",
        f"  API         {url}",
        f"  Ledger      {settings.database}",
    ]
    if settings.admin.listen is not None:
        lines.insert(3, f"  Operator    http://{settings.admin.listen}/admin/v1")
    if settings.server.dashboard:
        lines.insert(-1, f"  Dashboard   {app.deps.pages_at}/dashboard (tollkeeper dashboard opens it logged in)")
    if app.taken_up:
        lines.append(f"              {_count(app.taken_up, 'request')} of the last run being settled")
    lines += [
        "",
        f"  export OPENAI_BASE_URL={url}",
        f"Ready in {took_s:.2f} s. Ctrl-C stops after open requests finish.",
    ]
    changed = changed_files()
    if changed:
        lines.append(changed_text(changed))
    click.echo("\n".join(lines), err=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
