"""How a command asks the operator's API: the running proxy or, if none is running, its parts in this process.

Both answer from the same routes. The ledger's lock decides which of the two applies, as in control_client.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import click

from proxy.cli.actor import actor
from proxy.cli.control_client import ANSWER_S, Connect, answer_error, find_door
from proxy.core.errors import LedgerError

if TYPE_CHECKING:
    from proxy.config.load import LoadedConfig
    from proxy.config.schema import Settings
    from proxy.web.deps import Deps

_STARTING_S = 5.0  # a proxy holds the lock before its socket is there: migrations, a check of the whole file
_RETRY_S = 0.05
PROVIDER_ANSWER_S = 3600.0  # where a provider is asked: one that is down is waited for, and its bill may be long
_PREFIX = "/admin/v1"
_SUCCESS = range(200, 300)
Send = Callable[[str, str, bytes | None], tuple[int, bytes]]  # method, path with query, body -> status, body
Query = Mapping[str, Any]


class AdminClient:
    """The operator's API; paths are below /admin/v1. What it refuses raises click.ClickException with its text."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def get(self, path: str, query: Query | None = None) -> Any:
        """Return the data of one resource, or the first page of a list."""
        return self._ask("GET", _with_query(path, query))["data"]

    def pages(self, path: str, query: Query | None = None) -> Iterator[dict[str, Any]]:
        """Yield all entries of a list."""
        cursor = None
        while True:
            page = self._ask("GET", _with_query(path, {"limit": 1000, **(query or {}), "cursor": cursor}))
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._ask("POST", path, body or {})["data"]

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("PATCH", path, body)["data"]

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("PUT", path, body)["data"]

    def delete(self, path: str, query: Query | None = None) -> Any:
        return self._ask("DELETE", _with_query(path, query))["data"]

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        status, raw = self._send(method, _PREFIX + path, None if body is None else json.dumps(body).encode())
        if status not in _SUCCESS:
            raise answer_error(status, raw)
        try:
            answer: dict[str, Any] = json.loads(raw)
        except ValueError:
            raise answer_error(status, raw) from None
        return answer


def resource_path(*parts: str) -> str:
    """Return the path of a resource below /admin/v1, each part percent-encoded."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _with_query(path: str, query: Query | None) -> str:
    """Return a path with its query; what is None is left out, a list is sent as several, a flag as true or false."""
    fields = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in (query or {}).items()
        if value is not None
    }
    return f"{path}?{urlencode(fields, doseq=True)}" if fields else path


@contextmanager
def admin_client(
    settings: "Settings", purpose: str, loaded: "LoadedConfig | None" = None, *, answer_s: float | None = None
) -> Iterator[AdminClient]:
    """Yield the operator's API of the proxy of these settings.

    purpose: the command, for the next one who wants the ledger meanwhile. loaded: what settings came from, for commands
    that ask about it. answer_s: how long each answer of a running proxy may take. Raises LedgerError where neither a
    proxy answers nor the ledger can be opened.
    """
    deadline_s = time.monotonic() + _STARTING_S
    while True:
        door = find_door(settings)
        if door is not None:
            yield AdminClient(partial(_send_to, door, answer_s or ANSWER_S))
            return
        with _only_faults_logged(), asyncio.Runner() as runner:
            parts = _Parts(runner)
            try:
                parts.open(loaded or _loaded(settings), purpose)
            except LedgerError:
                if time.monotonic() >= deadline_s:
                    raise
            else:
                try:
                    yield AdminClient(parts.send)
                finally:
                    parts.close()
                return
        time.sleep(_RETRY_S)


def _send_to(connect: Connect, answer_s: float, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    """Ask a proxy that runs."""
    connection = connect()
    try:
        connection.connect()
        connection.sock.settimeout(answer_s)
        connection.request(method, path, body, {} if body is None else {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException) as error:
        raise click.ClickException(
            f"The connection to the running proxy broke ({type(error).__name__})."
            + ("" if method == "GET" else " The change may or may not be in force: look before you try again.")
        ) from None
    finally:
        connection.close()


def _loaded(settings: "Settings") -> "LoadedConfig":
    from proxy.config.load import LoadedConfig  # noqa: PLC0415 - keeps --help quick

    return LoadedConfig(settings, None, (), "")


@contextmanager
def _only_faults_logged() -> Iterator[None]:
    """Log faults alone: what else a proxy would log is no news for who runs a command."""
    log = logging.getLogger("tollkeeper")
    if log.handlers:
        yield
        return
    level, handler = log.level, logging.StreamHandler()
    log.addHandler(handler)
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _Parts:
    """A proxy's parts in this process, without a listener and without jobs."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._close: Callable[[], Any]
        self._deps: Deps

    def open(self, loaded: "LoadedConfig", purpose: str) -> None:
        """Open the ledger as its owner; raises LedgerError that names the owner there is."""
        from proxy.app import App  # noqa: PLC0415 - a second's work
        from proxy.app.storage import open_sqlite  # noqa: PLC0415

        app = App(lambda: loaded, open_storage=partial(open_sqlite, purpose=purpose))
        self._deps = self._runner.run(app.open_parts(loaded))
        self._close = app.close

    def close(self) -> None:
        self._runner.run(self._close())

    def send(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        from proxy.web.admin.in_process import answer_in_process  # noqa: PLC0415

        return self._runner.run(answer_in_process(self._deps, actor(), method, path, body or b""))
