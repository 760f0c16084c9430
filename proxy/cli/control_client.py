"""How a command changes users and tokens: through the running proxy or, if none is running, by itself as the owner.

A running proxy is reached by the socket beside the ledger; the file's mode is the credential. Without Unix sockets
(Windows) it is TCP on this machine with the operator's token. The ledger's lock decides which of the two applies:
whoever has it writes.
"""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.actor import actor
from proxy.core.clock import SystemClock
from proxy.core.errors import LedgerError

if TYPE_CHECKING:
    from proxy.config.schema import Settings

_STARTING_S = 5.0  # a proxy holds the lock before its socket is there: migrations, a check of the whole file
_RETRY_S = 0.05
ANSWER_S = 30.0  # the ledger's disk may be slow; no answer at all is an error

Do = Callable[[str, Mapping[str, Any]], Any]
Connect = Callable[[], http.client.HTTPConnection]


@contextmanager
def operator(settings: "Settings", purpose: str) -> Iterator[Do]:
    """Yield a function that runs an operation ("users.add") with its fields and returns its data.

    Raises click.ClickException with the text of a refused change, LedgerError if the ledger cannot be opened.
    """
    deadline_s = time.monotonic() + _STARTING_S
    while True:
        door = find_door(settings)
        if door is not None:
            yield partial(_ask, door)
            return
        try:
            lock = _lock(settings.database, purpose)
        except LedgerError:
            if time.monotonic() >= deadline_s:
                raise
            time.sleep(_RETRY_S)
            continue
        try:
            yield from _own(settings)
        finally:
            lock.release()
        return


# --- a proxy runs


def find_door(settings: "Settings") -> Connect | None:
    """Return how to connect to the running proxy; None if none answers (yet)."""
    from proxy.config.values import listen_at  # noqa: PLC0415 - as below
    from proxy.web.server.sockets import socket_path  # noqa: PLC0415 - wanted by commands that change something only

    path = socket_path(settings.database)

    def connect() -> http.client.HTTPConnection:
        if path is None:
            host, port = settings.server.host, settings.server.port
            if settings.admin.listen is not None:
                host, port = listen_at(settings.admin.listen)
            return http.client.HTTPConnection(host, port, timeout=ANSWER_S)
        return _UnixConnection(path)

    try:
        probe = connect()
        probe.connect()
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except PermissionError:
        raise LedgerError(
            f"{path}: this user may not connect to the running proxy. Run the command as the user that runs it."
        ) from None
    except OSError as error:
        raise LedgerError(f"{path or settings.server.host}: the running proxy cannot be reached ({error}).") from None
    probe.close()
    if path is None:
        return lambda: _with_token(connect(), settings)
    return connect


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_S)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.close()
            raise


class _TokenConnection(http.client.HTTPConnection):
    """HTTP over TCP with the operator's token."""

    token = ""

    def putrequest(self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False) -> None:
        super().putrequest(method, url, skip_host=skip_host, skip_accept_encoding=skip_accept_encoding)
        self.putheader("Authorization", f"Bearer {self.token}")


def _with_token(connection: http.client.HTTPConnection, settings: "Settings") -> http.client.HTTPConnection:
    if settings.admin_token is None:
        raise click.ClickException(
            "A proxy runs, and this system has no Unix sockets: set admin_token: in the configuration, restart the"
            " proxy, then try again."
        )
    with_token = _TokenConnection(connection.host, connection.port, timeout=ANSWER_S)
    with_token.token = settings.admin_token.reveal()
    return with_token


def _ask(connect: Connect, name: str, fields: Mapping[str, Any]) -> Any:
    connection = connect()
    path = "/admin/v1/" + name.replace(".", "/")
    body = json.dumps(dict(fields)).encode()
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        raw = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(
            f"The connection to the running proxy broke ({type(error).__name__}). The change may or may not be in"
            " force. Look with: tollkeeper users list, tollkeeper tokens list"
        ) from None
    finally:
        connection.close()
    return answer_data(response.status, raw)


def answer_data(status: int, raw: bytes) -> Any:
    """Return the data of an answer; raises what answer_error() returns."""
    if status == http.client.OK:
        try:
            return json.loads(raw)["data"]
        except (ValueError, KeyError, TypeError):
            pass
    raise answer_error(status, raw)


def answer_error(status: int, raw: bytes) -> Exception:
    """Return the error of an answer: LedgerError where the ledger cannot be written, else click.ClickException."""
    try:
        error = json.loads(raw)["error"]
        text = str(error["message"])
        is_ledger = error.get("code") == "ledger_unavailable"
    except (ValueError, KeyError, TypeError, AttributeError):
        return click.ClickException(f"The server that answers there is not Tollkeeper (status {status}).")
    return LedgerError(text) if is_ledger else click.ClickException(text)


# --- no proxy runs


def _lock(database: Path, purpose: str) -> Any:
    from proxy.storage.sqlite.owner import lock_ledger  # noqa: PLC0415 - as above

    return lock_ledger(database, purpose)


def _own(settings: "Settings") -> Iterator[Do]:
    """Open the ledger as its owner; the caller holds the lock."""
    from proxy.app.storage import master_keys_of  # noqa: PLC0415
    from proxy.storage.audit import Actor  # noqa: PLC0415 - as above
    from proxy.storage.labels import labels_of  # noqa: PLC0415
    from proxy.storage.sqlite.owner import own_ledger  # noqa: PLC0415
    from proxy.storage.users import UserError  # noqa: PLC0415

    with own_ledger(settings.database, float(settings.ledger.busy_timeout_s), master_keys_of(settings)) as ledger:
        ledger.set_labels(labels_of(settings), SystemClock().now_ms())

        who = Actor(actor(), "command line")

        def do(name: str, fields: Mapping[str, Any]) -> Any:
            try:
                return ledger.operate(name, now_ms=SystemClock().now_ms(), actor=who, fields=fields)
            except UserError as error:
                raise click.ClickException(str(error)) from None

        yield do
